"""Properties of injection that hold for every template, actor and setting."""

import copy
import json
from typing import Any

import jsonpatch
import orjson
from hypothesis import given
from hypothesis import strategies as st

from crds.names import ANNOTATION_INJECTED, LABEL_ACTOR
from injection.inject import COMMAND, Record, inject, read_record, uninject
from injection.settings import SidecarDefaults
from tests.strategies import ACTORS, SETTINGS, templates
from tests.unit.test_injection import OUR_VARIABLES, OURS, Object, plan
from webhook.patch import operations


@given(templates(), ACTORS, SETTINGS, st.booleans())
def test_injecting_twice_is_injecting_once(template: Object, obj: Object, settings: SidecarDefaults, job: bool) -> None:
    job = job and settings.native_sidecars
    once = inject(template, plan(obj, settings), job=job)
    assert inject(once, plan(obj, settings), job=job) is once


@given(templates(), ACTORS, SETTINGS, st.booleans())
def test_uninjecting_is_the_inverse(template: Object, obj: Object, settings: SidecarDefaults, job: bool) -> None:
    before = orjson.dumps(template)
    injected = inject(template, plan(obj, settings), job=job and settings.native_sidecars)
    assert orjson.dumps(uninject(injected), option=orjson.OPT_SORT_KEYS) == orjson.dumps(
        template, option=orjson.OPT_SORT_KEYS
    )
    assert orjson.dumps(template) == before, "injection changed its input"


@given(templates(), ACTORS, ACTORS, SETTINGS, SETTINGS)
def test_another_plan_removes_all_of_the_first(
    template: Object, first: Object, second: Object, before: SidecarDefaults, after: SidecarDefaults
) -> None:
    """The same holds after a change of settings, or an upgrade of the cluster."""
    twice = inject(inject(template, plan(first, before)), plan(second, after))
    assert twice == inject(template, plan(second, after))


@given(templates(), ACTORS, SETTINGS, st.booleans())
def test_the_sidecar_always_has_a_numeric_user_and_shares_the_runtimes(
    template: Object, obj: Object, settings: SidecarDefaults, job: bool
) -> None:
    job = job and settings.native_sidecars
    spec = inject(template, plan(obj, settings), job=job)["spec"]
    every = [*spec.get("initContainers", ()), *spec["containers"]]
    users = [c for c in template["spec"]["containers"] if c["name"] == "runtime"] or template["spec"]["containers"][:1]
    theirs, pod = users[0].get("securityContext") or {}, spec.get("securityContext") or {}
    (sidecar,) = (c for c in every if c["name"] == "sidecar")
    ours = sidecar["securityContext"]
    number = ours.get("runAsUser") if ours.get("runAsUser") is not None else pod.get("runAsUser")
    wanted = theirs.get("runAsUser") if theirs.get("runAsUser") is not None else pod.get("runAsUser")
    is_bound = theirs.get("runAsNonRoot", pod.get("runAsNonRoot"))
    assert number == (settings.run_as_user if wanted is None and is_bound else wanted)
    assert ours.get("runAsGroup") == theirs.get("runAsGroup")
    holders = [c for c in every if c["name"] == "asya-socket"]
    assert len(holders) <= (settings.native_sidecars and obj["spec"]["socket"].get("activation") is not False)
    assert all(holder["securityContext"].get("runAsUser") == theirs.get("runAsUser") for holder in holders)


@given(templates(), ACTORS, st.booleans())
def test_every_other_field_is_kept(template: Object, obj: Object, job: bool) -> None:
    result = inject(template, plan(obj), job=job)
    spec, before = result["spec"], template["spec"]
    place = "initContainers" if job else "containers"
    record = read_record(result)
    assert record is not None
    assert [c["name"] for c in spec[place]][: 1 + (job and record.holder)][-1] == "sidecar"
    users = [c for c in spec["containers"] if c["name"] != "sidecar"]
    assert [c["name"] for c in users] == [c["name"] for c in before["containers"]]
    runtime = "runtime" if len(users) > 1 or users[0]["name"] == "runtime" else users[0]["name"]
    for old, new in zip(before["containers"], users, strict=True):
        if old["name"] != runtime:
            assert new == old
            continue
        changed = {"env", "volumeMounts", "command", "startupProbe", "readinessProbe"}
        assert {k: v for k, v in new.items() if k not in changed} == {k: v for k, v in old.items() if k not in changed}
        assert [e for e in new["env"] if e["name"] not in OUR_VARIABLES] == [
            e for e in old.get("env", ()) if e["name"] not in OUR_VARIABLES
        ]
        assert new["volumeMounts"][: len(old.get("volumeMounts", []))] == old.get("volumeMounts", [])
        if old.get("command"):
            assert new["command"] == old["command"]
    assert [v for v in spec["volumes"] if v["name"] not in OURS] == before.get("volumes", [])
    ours_first = job + record.holder
    assert spec.get("initContainers", [])[ours_first:] == before.get("initContainers", [])
    ours = {"containers", "initContainers", "volumes", "terminationGracePeriodSeconds"}
    assert {k: v for k, v in spec.items() if k not in ours} == {k: v for k, v in before.items() if k not in ours}
    assert spec.get("terminationGracePeriodSeconds", 30) >= before.get("terminationGracePeriodSeconds", 30)


@given(templates(), ACTORS, st.booleans())
def test_the_patch_gives_the_result(template: Object, obj: Object, job: bool) -> None:
    result = inject(template, plan(obj), job=job)
    assert jsonpatch.apply_patch(template, operations(template, result)) == result
    assert jsonpatch.apply_patch(result, operations(result, uninject(result))) == template


@given(templates(), ACTORS, st.data())
def test_later_edits_survive_uninjection(template: Object, obj: Object, data: st.DataObject) -> None:
    """A user's change on an injected template remains after un-injection, as if it was made before injection."""
    injected = copy.deepcopy(inject(template, plan(obj)))
    plain = copy.deepcopy(template)
    edit = data.draw(st.sampled_from(["image", "env", "container", "volume", "label", "grace"]))
    for pod in (injected, plain):
        users = [c for c in pod["spec"]["containers"] if c["name"] != "sidecar"]
        if edit == "image":
            users[0]["image"] = "app:2"
        elif edit == "env":
            users[-1].setdefault("env", []).append({"name": "ADDED", "value": "1"})
        elif edit == "container":
            pod["spec"]["containers"].append({"name": "more", "image": "more:1"})
        elif edit == "volume":
            pod["spec"].setdefault("volumes", []).append({"name": "more", "emptyDir": {}})
        elif edit == "label":
            pod.setdefault("metadata", {}).setdefault("labels", {})["more"] = "1"
        elif edit == "grace":
            pod["spec"]["terminationGracePeriodSeconds"] = 1234
    assert uninject(injected) == plain


@given(
    templates(),
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), st.lists, max_leaves=4),
    st.booleans(),
)
def test_a_forged_record_removes_only_parts_that_injection_can_add(template: Object, junk: Any, believed: bool) -> None:
    """It is either ignored, or accepted because there is a socket volume, which the user also wrote."""
    users = [m for c in template["spec"]["containers"] for m in c.get("volumeMounts", ())]
    mounts = [m["mountPath"] for m in users if m["name"] not in OURS]
    forged = {
        "version": 1,
        "actor": "a",
        "digest": "d",
        "runtime": template["spec"]["containers"][0]["name"],
        "volumes": [v["name"] for v in template["spec"].get("volumes", ())],
        "env": ["ASYA_HANDLER", "PATH"],
        "mounts": mounts,
        "created": ["containers", "nodeSelector"],
        "command": True,
    }
    if believed:
        socket = {"name": "asya-socket", "emptyDir": {}}
        template["spec"]["volumes"] = [*template["spec"].get("volumes", ()), socket]
    for text in (orjson.dumps(forged).decode(), json.dumps({**forged, "volumes": junk}), str(junk)):
        pod = copy.deepcopy(template)
        pod.setdefault("metadata", {}).setdefault("annotations", {})[ANNOTATION_INJECTED] = text
        result = uninject(pod)
        assert result["spec"] == template["spec"]


def test_a_record_without_sidecar_or_socket_removes_nothing() -> None:
    """Not even parts that look exactly like injected ones."""
    env = [{"name": name, "value": "/var/run/asya"} for name in ("ASYA_SOCKET_DIR", "ASYA_SOCKET_PATH")]
    mounts = [{"name": "asya-runtime", "mountPath": "/opt/asya"}]
    container = {"name": "runtime", "image": "app:1", "env": env, "volumeMounts": mounts, "command": COMMAND}
    volumes = [{"name": "asya-runtime", "configMap": {"name": "asya-runtime"}}]
    template: Object = {
        "metadata": {"labels": {LABEL_ACTOR: "a"}},
        "spec": {"containers": [container], "volumes": volumes, "terminationGracePeriodSeconds": 90},
    }
    record = Record(actor="a", digest="d", runtime="runtime", label=True, grace=90, command=True)
    record = record.model_copy(
        update={"env": [e["name"] for e in env], "mounts": ["/opt/asya"], "volumes": ["asya-runtime"]}
    )
    template["metadata"]["annotations"] = {ANNOTATION_INJECTED: record.annotation()}
    assert uninject(template) == template
    socket = {"name": "asya-socket", "emptyDir": {}}
    template["spec"]["volumes"] = [*volumes, socket]
    assert uninject(template)["spec"] == {
        "containers": [{"name": "runtime", "image": "app:1", "env": [], "volumeMounts": [], "command": []}],
        "volumes": [socket],
    }
