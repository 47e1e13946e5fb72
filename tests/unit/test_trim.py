"""The cache keeps only the needed fields of completed Jobs."""

import copy
import sys
from typing import Any

import orjson

from controller.rules.injected import digest, has_opted_out
from controller.rules.phase import replicas_of
from controller.rules.trim import trim_job

Object = dict[str, Any]


def job(owner: str, *, finished: bool) -> Object:
    container = {"name": "runtime", "image": "a:1", "env": [{"name": f"V{n}", "value": "x" * 80} for n in range(200)]}
    conditions = [{"type": "Complete", "status": "True", "message": "m" * 500}] if finished else []
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": "j",
            "namespace": "x",
            "uid": "u",
            "resourceVersion": "7",
            "labels": {"asya.io/actor": "a"},
            "annotations": {"big": "y" * 1000},
            "ownerReferences": [{"kind": owner, "name": "a", "uid": "o", "controller": True}],
        },
        "spec": {"parallelism": 1, "completions": 1, "template": {"spec": {"containers": [container]}}},
        "status": {"succeeded": 1, "conditions": conditions},
    }


def test_a_completed_job_of_keda_keeps_a_twentieth_of_its_size() -> None:
    whole = job("ScaledJob", finished=True)
    kept = trim_job(copy.deepcopy(whole))
    assert len(orjson.dumps(kept)) < len(orjson.dumps(whole)) / 20
    kept = {"kind": "Job", **kept}
    assert replicas_of(kept) == replicas_of(whole)
    assert (digest(kept), has_opted_out(kept)) == (None, False)
    assert kept["metadata"]["labels"] == whole["metadata"]["labels"]
    assert sys.getsizeof(kept) > 0


def test_a_job_that_runs_or_that_an_actor_owns_is_kept_whole() -> None:
    for whole in (job("ScaledJob", finished=False), job("AsyncActor", finished=True)):
        assert trim_job(copy.deepcopy(whole)) == whole
