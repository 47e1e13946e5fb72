"""The API server refuses invalid actors at apply, with a message that names the field."""

from typing import Any

import pytest

from tests.cases.invalid_actors import CASES, invalid
from tests.harness.space import Space, actor


@pytest.mark.parametrize(("changes", "message"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_invalid_actor_is_refused(space_for_all: Space, changes: list[tuple[str, Any]], message: str) -> None:
    assert message in space_for_all.refused(invalid(changes))


def test_unwise_actors_are_stored_with_warnings(space_for_all: Space) -> None:
    warnings = space_for_all.warnings(actor("a", queueName="plain", timeout={"processing": 60, "gracefulShutdown": 30}))
    assert [w.partition(":")[0] for w in warnings] == [
        "spec.timeout.gracefulShutdown",
        "spec.queueName",
        "spec.workload.template.spec.containers[runtime].resources.limits",
    ]
