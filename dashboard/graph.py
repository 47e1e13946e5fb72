"""The graph of routes as they were seen: who sends to whom, in layers from left to right. Pure.

Layers are by longest path, without the edges that close a circle; within a layer a node stands near those that send to
it. That is enough for tens of nodes, and the same every time for the same edges.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from dashboard.traffic import Flow
from kube.reflector import Key

Object = dict[str, Any]

MAX_EDGES: Final = 150
"""The busiest ones are shown, and it is said that there are more."""
SWEEPS: Final = 4


@dataclass(frozen=True)
class Edge:
    """Messages from one node to another."""

    source: str
    target: str
    rate: float
    total: float


def edges_of(flows: Mapping[Key, Flow], queues: Mapping[str, list[Key]]) -> list[Edge]:
    """The edges that actors' flows make, the busiest first.

    Args:
        flows: by actor.
        queues: the actors that consume each queue. A queue that no actor consumes is a node of its own.
    """
    found = []
    for (namespace, name), flow in flows.items():
        for queue, total in flow.totals.items():
            if total <= 0:
                continue
            consumers = queues.get(queue) or []
            near = [key for key in consumers if key[0] == namespace] or consumers
            target = "/".join(near[0]) if near else f"queue:{queue}"
            found.append(Edge(f"{namespace}/{name}", target, flow.rates.get(queue, 0.0), total))
    return sorted(found, key=lambda edge: (-edge.rate, -edge.total, edge.source, edge.target))


def drawn(edges: list[Edge]) -> Object:
    """The graph as the page draws it: nodes with their layer and place in it, edges, and how many are left out."""
    shown = edges[:MAX_EDGES]
    layers = _layers(shown)
    nodes = [
        {"id": node, "layer": layer, "place": place}
        for layer, members in enumerate(_ordered(shown, layers))
        for place, node in enumerate(members)
    ]
    return {
        "nodes": nodes,
        "edges": [{"from": e.source, "to": e.target, "rate": round(e.rate, 3), "total": round(e.total)} for e in shown],
        "more": len(edges) - len(shown),
    }


def _layers(edges: Iterable[Edge]) -> dict[str, int]:
    """The layer of each node: one more than that of the last that sends to it."""
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
    """The nodes, senders first, and the edges that close circles. Without recursion: a route may be long."""
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


def _ordered(edges: list[Edge], layers: Mapping[str, int]) -> list[list[str]]:
    """The nodes of each layer, in an order in which few edges cross."""
    if not layers:
        return []
    rows: list[list[str]] = [[] for _ in range(max(layers.values()) + 1)]
    for node in sorted(layers):
        rows[layers[node]].append(node)
    neighbours: dict[str, list[str]] = {node: [] for node in layers}
    for edge in edges:
        neighbours[edge.source].append(edge.target)
        neighbours[edge.target].append(edge.source)
    for sweep in range(SWEEPS):
        place = {node: n / len(members) for members in rows for n, node in enumerate(members)}
        forward = sweep % 2 == 0
        for members in rows if forward else reversed(rows):
            members.sort(key=lambda node: (_middle(node, neighbours, layers, place, forward), node))
            place |= {node: n / len(members) for n, node in enumerate(members)}
    return rows


def _middle(
    node: str, neighbours: Mapping[str, list[str]], layers: Mapping[str, int], place: Mapping[str, float], forward: bool
) -> float:
    """The mean place of a node's neighbours on one side; its own where it has none there."""
    side = [n for n in neighbours[node] if (layers[n] < layers[node]) == forward and layers[n] != layers[node]]
    return sum(place[n] for n in side) / len(side) if side else place[node]
