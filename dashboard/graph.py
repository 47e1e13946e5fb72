"""The graph of routes: which actor sends messages to which, in layers from left to right. Pure.

A node's layer is the length of the longest path to it, without the edges that close a cycle. Within a layer, a node is
near the nodes that send to it. An edge that passes a layer has its own place there, so it crosses no node. This works
for tens of nodes, and the same edges always give the same picture.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from dashboard.traffic import Flow
from kube.objects import Key, Object

MAX_EDGES: Final = 150
"""Only the busiest edges are shown. The page says how many more exist."""
SWEEPS: Final = 6
"""How often the order of nodes within layers is improved."""
BEND: Final = "bend:"
"""Prefix for the name of a place where an edge passes a layer. No actor and no queue has such a name."""


@dataclass(frozen=True)
class Edge:
    """Messages from one node to another."""

    source: str
    target: str
    rate: float | None
    """Messages per second; None if it is not measured yet."""
    total: float
    """Messages since the pods started."""


def edges_of(flows: Mapping[Key, Flow], queues: Mapping[str, list[Key]]) -> list[Edge]:
    """The edges from actors' flows, the busiest first.

    Args:
        flows: by actor.
        queues: the actors that consume each queue. A queue that no actor consumes is a node of its own.
    """
    edges = []
    for (namespace, name), flow in flows.items():
        for queue, total in flow.totals.items():
            if total <= 0:
                continue
            consumers = queues.get(queue) or []
            near = [key for key in consumers if key[0] == namespace] or consumers
            target = "/".join(near[0]) if near else f"queue:{queue}"
            rate = flow.rates.get(queue, 0.0) if flow.measured else None
            edges.append(Edge(f"{namespace}/{name}", target, rate, total))
    return sorted(edges, key=lambda edge: (-(edge.rate or 0.0), -edge.total, edge.source, edge.target))


def drawn(edges: list[Edge]) -> Object:
    """The graph for the page, as JSON values.

    Each of ``layers`` has its nodes and the bends of passing edges, from top to bottom. ``via`` names an edge's bends.
    ``back`` says that it closes a cycle. ``more`` counts the edges that are not shown.
    """
    shown = edges[:MAX_EDGES]
    layers = _layers(shown)
    bends = [_bends(n, edge, layers) for n, edge in enumerate(shown)]
    at = layers | {
        bend: layers[edge.source] + n for edge, via in zip(shown, bends, strict=True) for n, bend in _numbered(via)
    }
    links = [
        pair for edge, via in zip(shown, bends, strict=True) for pair in pairwise([edge.source, *via, edge.target])
    ]
    return {
        "layers": _ordered(links, at),
        "edges": [
            {
                "from": edge.source,
                "to": edge.target,
                "rate": None if edge.rate is None else round(edge.rate, 3),
                "total": round(edge.total),
                "via": via,
                "back": layers[edge.target] <= layers[edge.source],
            }
            for edge, via in zip(shown, bends, strict=True)
        ],
        "more": len(edges) - len(shown),
    }


def _bends(number: int, edge: Edge, layers: Mapping[str, int]) -> list[str]:
    """Names of an edge's bends, one in each layer between its ends."""
    between = range(layers[edge.source] + 1, layers[edge.target])
    return [f"{BEND}{number}.{layer}" for layer in between]


def _numbered(via: list[str]) -> Iterable[tuple[int, str]]:
    return enumerate(via, 1)


def _layers(edges: Iterable[Edge]) -> dict[str, int]:
    """The layer of each node: one more than the highest layer of the nodes that send to it."""
    edges = list(edges)
    nodes = sorted({node for edge in edges for node in (edge.source, edge.target)})
    targets: dict[str, list[str]] = {node: [] for node in nodes}
    for edge in edges:
        targets[edge.source].append(edge.target)
    has_source = {edge.target for edge in edges if edge.source != edge.target}
    order, closing = _topological(sorted(nodes, key=lambda node: (node in has_source, node)), targets)
    layers = dict.fromkeys(nodes, 0)
    for node in order:
        for target in targets[node]:
            if (node, target) not in closing:
                layers[target] = max(layers[target], layers[node] + 1)
    return layers


def _topological(nodes: list[str], targets: Mapping[str, list[str]]) -> tuple[list[str], set[tuple[str, str]]]:
    """The nodes, senders first, and the edges that close cycles. Not recursive, because a route may be long."""
    finished: dict[str, None] = {}
    entered: set[str] = set()
    closing: set[tuple[str, str]] = set()
    for root in nodes:
        path = [] if root in entered else [(root, iter(targets[root]))]
        entered.add(root)
        while path:
            node, rest = path[-1]
            target = next(rest, None)
            if target is None:
                path.pop()
                finished[node] = None
            elif target in entered and target not in finished:
                closing.add((node, target))
            elif target not in entered:
                entered.add(target)
                path.append((target, iter(targets[target])))
    return list(reversed(finished)), closing


def _ordered(links: list[tuple[str, str]], layers: Mapping[str, int]) -> list[list[str]]:
    """The nodes and bends of each layer, in an order in which few links cross."""
    if not layers:
        return []
    rows: list[list[str]] = [[] for _ in range(max(layers.values()) + 1)]
    for item in sorted(layers):
        rows[layers[item]].append(item)
    neighbours: dict[str, list[str]] = {item: [] for item in layers}
    for source, target in links:
        neighbours[source].append(target)
        neighbours[target].append(source)
    for sweep in range(SWEEPS):
        place = {item: n / len(members) for members in rows for n, item in enumerate(members)}
        forward = sweep % 2 == 0
        for members in rows if forward else reversed(rows):
            members.sort(key=lambda item: (_middle(item, neighbours, layers, place, forward), item))
            place |= {item: n / len(members) for n, item in enumerate(members)}
    return rows


def _middle(
    item: str, neighbours: Mapping[str, list[str]], layers: Mapping[str, int], place: Mapping[str, float], forward: bool
) -> float:
    """The mean place of an item's neighbours in the layer before it (after it, if not ``forward``).

    Its own place if it has no neighbours there.
    """
    adjacent_layer = layers[item] + (-1 if forward else 1)
    adjacent = [n for n in neighbours[item] if layers[n] == adjacent_layer]
    return sum(place[n] for n in adjacent) / len(adjacent) if adjacent else place[item]
