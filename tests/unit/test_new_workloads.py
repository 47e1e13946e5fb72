"""A new actor creates its workload without a read. It reads when the create fails."""

from types import SimpleNamespace
from typing import Any

import pytest

from controller.cluster.workloads import Workloads
from injection.settings import SidecarDefaults
from kube.failures import ApiError
from tests.harness.space import actor
from tests.unit.test_desired import parsed

DENIED = ApiError(403, "Forbidden", 'admission webhook "policy.example" denied the request: not yours')
TAKEN = ApiError(409, "Conflict", "the object has been modified")
FOREIGN: Any = {"kind": "Deployment", "metadata": {"name": "a", "namespace": "ns", "uid": "other"}, "spec": {}}


class Api:
    """Has one workload or none, and answers every write with an error or with the object."""

    def __init__(self, stored: Any, error: ApiError | None) -> None:
        self.stored, self.error, self.reads = stored, error, 0
        informer = SimpleNamespace(get=lambda *_: None, resource=None, owned_by=lambda *_: [])
        self.cluster: Any = SimpleNamespace(
            keda=None, workloads={"Deployment": informer}, injectable=[], ensure=self.ensure, client=self
        )

    def ensure(self, _informer: Any, live: Any, manifest: Any) -> Any:
        assert live is None, "a workload of another owner must not be written"
        if self.error is not None:
            raise self.error
        return manifest | {"metadata": manifest["metadata"] | {"uid": "new"}}

    def get(self, *_: Any) -> Any:
        self.reads += 1
        return self.stored


@pytest.mark.parametrize(
    ("stored", "error", "reason", "reads"),
    [
        (None, None, "NotInjected", 0),
        (FOREIGN, TAKEN, "WorkloadNotOwned", 1),
        (FOREIGN, DENIED, "WorkloadNotOwned", 1),
        (None, DENIED, "WorkloadForbidden", 1),
    ],
)
def test_the_reason_is_about_the_workload_that_exists(
    stored: Any, error: ApiError | None, reason: str, reads: int
) -> None:
    api = Api(stored, error)
    rollouts: Any = SimpleNamespace(has_rolled_out=lambda _: True)
    outcome = Workloads(api.cluster, rollouts, SidecarDefaults()).ensure(parsed(actor("a")), "digest")
    assert (outcome.verdict.reason, api.reads) == (reason, reads)
