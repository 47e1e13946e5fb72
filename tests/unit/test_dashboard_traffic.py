"""Sidecars' metrics, rates, and the graph of routes."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dashboard.graph import BEND, MAX_EDGES, Edge, drawn, edges_of
from dashboard.traffic import MAX_TARGETS, Counters, Flow, Meter, counters, together

TEXT = """
# HELP asya_actor_messages_sent_total Messages sent
# TYPE asya_actor_messages_sent_total counter
asya_actor_messages_sent_total{destination_queue="asya-ns-b",message_type="routing"} 10
asya_actor_messages_sent_total{destination_queue="asya-ns-b",message_type="retry"} 2
asya_actor_messages_sent_total{destination_queue="x-sink",message_type="happy_end"} 1
# TYPE asya_actor_messages_received_total counter
asya_actor_messages_received_total{queue="asya-ns-a",transport="rabbitmq"} 14
# TYPE asya_actor_messages_failed_total counter
asya_actor_messages_failed_total{queue="asya-ns-a",reason="runtime_error"} 1
# TYPE asya_actor_active_messages gauge
asya_actor_active_messages 1
# TYPE asya_actor_processing_duration_seconds histogram
asya_actor_processing_duration_seconds_bucket{queue="asya-ns-a",le="+Inf"} 14
asya_actor_processing_duration_seconds_sum{queue="asya-ns-a"} 7
asya_actor_processing_duration_seconds_count{queue="asya-ns-a"} 14
go_goroutines 9
"""


def test_a_sidecars_metrics_are_read() -> None:
    assert counters(TEXT) == Counters({"asya-ns-b": 12.0, "x-sink": 1.0}, 14.0, 1.0, 1.0, 7.0, 14.0)


def test_text_of_another_program_has_no_metrics() -> None:
    for text in ("", "go_goroutines 9\n", "<html>", "asya_actor_messages_sent_total{destination_queue=", "a{b=} x\n"):
        assert counters(text) is None
    many = "".join(f'asya_actor_messages_sent_total{{destination_queue="q{n}"}} 1\n' for n in range(1000))
    hostile = counters("# TYPE asya_actor_messages_sent_total counter\n" + many)
    assert hostile is not None
    assert len(hostile.sent) == MAX_TARGETS


@given(st.text())
def test_any_text_of_a_pod_is_read_without_an_error(text: str) -> None:
    assert counters(text) is None or "asya_actor_" in text


def test_rates_need_two_samples_and_a_restart_starts_again() -> None:
    meter = Meter()
    meter.add(100.0, Counters({"b": 10}, received=10, seconds=1, processed=10))
    assert (meter.flow().measured, meter.flow().rates) == (False, {"b": 0.0})
    meter.add(110.0, Counters({"b": 30, "c": 5}, received=35, failed=1, active=2, seconds=6, processed=35))
    assert meter.flow() == Flow({"b": 2.0, "c": 0.5}, {"b": 30, "c": 5}, 2.5, 0.1, 2, 0.2)
    meter.add(115.0, Counters({"b": 1}, received=1))
    assert not meter.flow().measured


def test_rates_are_for_the_last_minute() -> None:
    meter = Meter()
    for second in range(0, 300, 5):
        meter.add(float(second), Counters({"b": 10.0 * min(second, 200)}, received=10.0 * min(second, 200)))
    assert meter.flow().rates["b"] == 0.0


def test_pods_of_an_actor_are_summed() -> None:
    both = together(
        [Flow({"b": 1.0}, {"b": 3}, 1.0), Flow({"b": 2.0, "c": 1.0}, {"b": 4, "c": 1}, 3.0, mean_seconds=0.5)]
    )
    assert both == Flow({"b": 3.0, "c": 1.0}, {"b": 7, "c": 1}, 4.0, 0, 0, 0.5)
    assert not together([]).measured


def test_a_queue_leads_to_the_actor_of_its_namespace_or_is_its_own_node() -> None:
    queues = {"asya-b": [("other", "b"), ("ns", "b")], "asya-c": [("other", "c")]}
    flow = Flow({"asya-b": 2.0, "asya-c": 1.0}, {"asya-b": 9, "asya-c": 5, "x-sink": 1, "never": 0})
    result = edges_of({("ns", "a"): flow}, queues)
    assert result == [
        Edge("ns/a", "ns/b", 2.0, 9),
        Edge("ns/a", "other/c", 1.0, 5),
        Edge("ns/a", "queue:x-sink", 0.0, 1),
    ]
    unmeasured = Flow({"asya-b": 0.0}, {"asya-b": 9}, measured=False)
    assert edges_of({("ns", "a"): unmeasured}, queues)[0].rate is None


def test_a_route_goes_from_left_to_right_and_a_cycle_returns() -> None:
    graph = drawn([Edge(a, b, 1.0, 1) for a, b in ("ab", "bc", "cd", "ad", "da")])
    assert [sorted(layer)[0] for layer in graph["layers"]] == ["a", "b", "bend:3.2", "d"]
    by_ends = {(edge["from"], edge["to"]): edge for edge in graph["edges"]}
    assert by_ends["d", "a"]["back"]
    assert len(by_ends["a", "d"]["via"]) == 2, "it passes two layers, with a place in each"
    assert not by_ends["a", "b"]["via"]


NODES = st.sampled_from([f"ns/{n}" for n in range(12)])


@given(st.lists(st.tuples(NODES, NODES, st.floats(0, 100)), max_size=60))
def test_any_graph_is_drawn_completely(pairs: list[tuple[str, str, float]]) -> None:
    edges = [Edge(a, b, rate, 1) for a, b, rate in pairs]
    graph: Any = drawn(edges)
    at = {item: n for n, layer in enumerate(graph["layers"]) for item in layer}
    assert sum(len(layer) for layer in graph["layers"]) == len(at), "an element has two places"
    assert {item for item in at if not item.startswith(BEND)} == {node for a, b, _ in pairs for node in (a, b)}
    for edge in graph["edges"]:
        if edge["back"]:
            assert at[edge["to"]] <= at[edge["from"]]
            assert edge["via"] == []
        else:
            path = [at[item] for item in (edge["from"], *edge["via"], edge["to"])]
            assert path == list(range(path[0], path[-1] + 1))


def test_a_long_route_and_a_large_graph() -> None:
    long = [Edge(f"ns/{n:04}", f"ns/{n + 1:04}", 1.0, 1) for n in range(MAX_EDGES)]
    assert len(drawn(long)["layers"]) == MAX_EDGES + 1
    many = [Edge("ns/a", f"ns/{n}", float(n), 1) for n in range(400)]
    graph = drawn(sorted(many, key=lambda edge: -(edge.rate or 0)))
    assert (len(graph["edges"]), graph["more"]) == (MAX_EDGES, 400 - MAX_EDGES)
    assert drawn([]) == {"layers": [], "edges": [], "more": 0}
