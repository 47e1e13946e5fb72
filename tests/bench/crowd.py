"""The time of an admission, and the number of failures, with two thousand rude connections from one address."""

from tests.bench.measure import Result
from tests.bench.webhook import NAME, servers
from tests.chaos.good import CROWD, meet_a_crowd

SECONDS = 20.0
P99_MS = 100.0


def run() -> list[Result]:
    """Failed admissions, p50, p99 and the slowest. A failure or a slow p99 exceeds the limit."""
    with servers() as started:
        port, _ = started["webhook"]
        meeting = meet_a_crowd(port, SECONDS, NAME, "default")
    title = f"{CROWD} rude connections"
    return [
        Result("crowd", f"{title}, connected", float(CROWD - meeting.connected), "missing", limit=0.0),
        Result(
            "crowd", f"{title}, {len(meeting.seconds)} admissions", float(len(meeting.problems)), "failed", limit=0.0
        ),
        Result("crowd", title, meeting.share(0.5), "p50 ms"),
        Result("crowd", title, meeting.share(0.99), "p99 ms", limit=P99_MS),
        Result("crowd", title, meeting.share(1.0), "most ms"),
    ]
