"""Changes by others to injected parts: a webhook's are kept, a person's are undone with a warning."""

import copy
from typing import Any

import jsonpatch
import pytest

from crds.names import ANNOTATION_INJECTED
from crds.parse import parse_actor
from injection.inject import inject, read_record, uninject
from injection.parts import is_mirrored
from injection.plan import Plan, make_plan
from injection.settings import SidecarDefaults
from tests.harness.space import actor
from webhook.admission import Decision, decide

Object = dict[str, Any]
PLAN = make_plan(parse_actor(actor("a")), SidecarDefaults())
RUNTIME = {"name": "runtime", "image": "app:1", "env": [{"name": "ASYA_HANDLER", "value": "app.handle"}]}
DEPLOYMENT = {
    "kind": "Deployment",
    "metadata": {"name": "d", "labels": {"asya.io/actor": "a"}},
    "spec": {"template": {"metadata": {"labels": {"app": "d"}}, "spec": {"containers": [RUNTIME]}}},
}


def admit(obj: Object, old: Object | None = None, plan: Plan = PLAN) -> tuple[Object, Decision]:
    """The result of admission for ``obj``."""
    request = {
        "operation": "CREATE" if old is None else "UPDATE",
        "namespace": "default",
        "resource": {"group": "apps", "resource": "deployments"},
        "object": copy.deepcopy(obj),
        "oldObject": copy.deepcopy(old),
    }
    decision = decide(request, lambda wanted: plan)
    assert decision.outcome != "denied", decision.message
    return dict(jsonpatch.apply_patch(copy.deepcopy(obj), decision.patch)), decision


def spec(obj: Object) -> Object:
    return dict(obj["spec"]["template"]["spec"])


def mirrored(obj: Object) -> Object:
    """``obj`` after a webhook has changed all images to those of a mirror."""
    obj = copy.deepcopy(obj)
    for container in (*spec(obj)["containers"], *spec(obj)["initContainers"]):
        if not container["image"].startswith("mirror/"):
            container["image"] = f"mirror/{container['image']}"
    return obj


def changed(obj: Object, container: str, **fields: Any) -> Object:
    obj = copy.deepcopy(obj)
    for c in (*spec(obj)["containers"], *spec(obj)["initContainers"]):
        if c["name"] == container:
            c.update(fields)
            for key in [k for k, v in fields.items() if v is None]:
                del c[key]
    return obj


INJECTED = admit(DEPLOYMENT)[0]
MIRRORED = mirrored(INJECTED)


def test_a_change_by_another_webhook_in_the_same_admission_is_kept() -> None:
    assert admit(MIRRORED)[1].patch == [], "called again at the create"
    assert admit(MIRRORED, DEPLOYMENT)[1].patch == [], "called again at the update that labelled it"
    earlier = admit(DEPLOYMENT, plan=make_plan(parse_actor(actor("a")), SidecarDefaults(image="old:1")))[0]
    assert admit(MIRRORED, mirrored(earlier))[1].patch == [], "called again after a change of the plan"


def test_another_webhooks_change_stays_at_the_next_update() -> None:
    result, decision = admit(MIRRORED, MIRRORED)
    assert (result, decision.patch, decision.warnings) == (MIRRORED, [], [])
    more = copy.deepcopy(MIRRORED)
    more["spec"]["replicas"] = 3
    assert admit(more, MIRRORED)[1].patch == []
    other = changed(MIRRORED, "runtime", resources={"limits": {"memory": "1Gi"}})
    assert admit(other, MIRRORED)[1].patch == []


def test_a_mirror_that_is_installed_after_injection_is_kept() -> None:
    result, decision = admit(MIRRORED, INJECTED)
    assert (result, decision.warnings) == (MIRRORED, [])
    assert admit(result, INJECTED)[1].patch == [], "called again in the same admission"
    assert admit(result, result)[1].patch == [], "and at the next update"
    assert uninject(result["spec"]["template"])["spec"]["containers"][0]["image"] == "mirror/app:1"
    both = changed(MIRRORED, "sidecar", imagePullPolicy="Never")
    result, decision = admit(both, INJECTED)
    assert result == MIRRORED, "other changes must be undone"
    assert len(decision.warnings) == 1


@pytest.mark.parametrize(
    ("image", "wanted", "mirrored_"),
    [
        ("mirror/ghcr.io/o/sidecar:1", "ghcr.io/o/sidecar:1", True),
        ("mirror:5000/sidecar:1", "ghcr.io/o/sidecar:1", True),
        ("ghcr.io/o/sidecar:1@sha256:ab", "ghcr.io/o/sidecar:1", True),
        ("mirror/sidecar@sha256:ab", "ghcr.io/o/sidecar@sha256:ab", True),
        ("mirror/sidecar@sha256:cd", "ghcr.io/o/sidecar@sha256:ab", False),
        ("mirror/sidecar:2", "ghcr.io/o/sidecar:1", False),
        ("mirror/other:1", "ghcr.io/o/sidecar:1", False),
        ("ghcr.io/o/sidecar:1", "ghcr.io/o/sidecar:1", False),
        (None, "ghcr.io/o/sidecar:1", False),
    ],
)
def test_which_images_count_as_mirrored(image: object, wanted: object, mirrored_: bool) -> None:
    assert is_mirrored(image, wanted) is mirrored_


def test_a_new_image_of_the_function_reaches_the_socket_holder_and_the_sidecar_stays_mirrored() -> None:
    result, decision = admit(changed(MIRRORED, "runtime", image="app:2"), MIRRORED)
    images = {c["name"]: c["image"] for c in (*spec(result)["containers"], *spec(result)["initContainers"])}
    assert images["asya-socket"] == "app:2"
    assert images["sidecar"].startswith("mirror/")
    assert decision.warnings == []


@pytest.mark.parametrize("stored", [INJECTED, MIRRORED], ids=["plain", "mirrored"])
@pytest.mark.parametrize(
    ("container", "fields", "words"),
    [
        (
            "sidecar",
            {"image": "evil:1"},
            ["containers[sidecar].image", "'evil:1'", "spec.sidecar.image", "containers[1]"],
        ),
        ("sidecar", {"resources": {"limits": {"memory": "1Gi"}}}, ["spec.sidecar.resources"]),
        ("sidecar", {"env": []}, ["spec.sidecar.env"]),
        ("sidecar", {"securityContext": {"capabilities": {"drop": ["ALL"]}}}, ["securityContext"]),
        ("asya-socket", {"image": "evil:1"}, ["initContainers[asya-socket].image", "'runtime'"]),
        ("asya-socket", {"resources": None}, ["spec.socket.activation"]),
        ("runtime", {"command": ["sh"]}, ["containers[runtime].command"]),
    ],
)
def test_a_persons_change_is_undone_with_a_warning(
    stored: Object, container: str, fields: Object, words: list[str]
) -> None:
    result, decision = admit(changed(stored, container, **fields), stored)
    if container == "runtime":
        return  # the user's command wins: see the next test
    assert result == stored
    assert len(decision.warnings) == 1
    assert all(word in decision.warnings[0] for word in ["spec.template.spec.", *words])


def test_a_users_own_command_wins() -> None:
    result, decision = admit(changed(INJECTED, "runtime", command=["sh"]), INJECTED)
    assert spec(result)["containers"][1]["command"] == ["sh"]
    assert "initContainers" not in spec(result), "without the operator's script, a socket holder has no purpose"
    assert decision.warnings == []


@pytest.mark.parametrize("field", ["allowPrivilegeEscalation", "seccompProfile", "capabilities"])
def test_a_removed_safety_field_is_restored(field: str) -> None:
    context = dict(spec(INJECTED)["containers"][0]["securityContext"])
    del context[field]
    result, decision = admit(changed(INJECTED, "sidecar", securityContext=context), INJECTED)
    assert result == INJECTED
    assert "securityContext" in decision.warnings[0]


def test_a_changed_variable_of_the_socket_is_restored_with_a_warning() -> None:
    env = [
        {**e, "value": "/else"} if e["name"] == "ASYA_SOCKET_DIR" else e for e in spec(INJECTED)["containers"][1]["env"]
    ]
    result, decision = admit(changed(INJECTED, "runtime", env=env), INJECTED)
    assert result == INJECTED
    assert "env[ASYA_SOCKET_DIR]" in decision.warnings[0]
    assert "spec.socket.path" in decision.warnings[0]


def test_a_changed_variable_of_the_script_becomes_the_users() -> None:
    env = [
        {**e, "value": "9999"} if e["name"] == "ASYA_RUNTIME_PORT" else e
        for e in spec(INJECTED)["containers"][1]["env"]
    ]
    result, _ = admit(changed(INJECTED, "runtime", env=env), INJECTED)
    runtime = spec(result)["containers"][1]
    assert {"name": "ASYA_RUNTIME_PORT", "value": "9999"} in runtime["env"]
    assert runtime["readinessProbe"]["httpGet"]["port"] == 9999
    assert admit(result, result)[1].patch == []
    plain = uninject(result["spec"]["template"])["spec"]["containers"][0]
    assert plain["env"] == [*RUNTIME["env"], {"name": "ASYA_RUNTIME_PORT", "value": "9999"}]


def test_a_probe_that_was_merged_into_the_injected_one_becomes_the_users() -> None:
    mine = {**spec(INJECTED)["containers"][1]["readinessProbe"], "exec": {"command": ["true"]}}
    result, _ = admit(changed(INJECTED, "runtime", readinessProbe=mine), INJECTED)
    runtime = spec(result)["containers"][1]
    assert runtime["readinessProbe"]["exec"] == {"command": ["true"]}
    assert "httpGet" not in runtime["readinessProbe"]
    assert "startupProbe" not in runtime


def test_injected_parts_are_recognised_without_their_annotation() -> None:
    lost = copy.deepcopy(INJECTED)
    del lost["spec"]["template"]["metadata"]["annotations"]
    result, _ = admit(lost, INJECTED)
    assert [c["name"] for c in spec(result)["containers"]] == ["sidecar", "runtime"]
    plain = uninject(result["spec"]["template"])["spec"]
    assert plain.pop("terminationGracePeriodSeconds") == 330  # without the record, the original value is unknown
    assert plain == DEPLOYMENT["spec"]["template"]["spec"]  # type: ignore[index]


@pytest.mark.parametrize("keep_annotations", [False, True])
def test_a_pod_copy_of_kubectl_debug_is_allowed(keep_annotations: bool) -> None:
    template = INJECTED["spec"]["template"]
    pod: Object = {
        "metadata": {"name": "copy", "labels": template["metadata"]["labels"]},
        "spec": {
            **template["spec"],
            "containers": [*template["spec"]["containers"], {"name": "debugger", "image": "b"}],
        },
    }
    if keep_annotations:
        pod["metadata"]["annotations"] = template["metadata"]["annotations"]
    resource = {"group": "", "resource": "pods"}
    request = {"operation": "CREATE", "namespace": "default", "resource": resource, "object": pod}
    decision = decide(request, lambda wanted: PLAN)
    assert (decision.outcome, decision.patch) == ("unchanged", [])


def test_a_container_that_only_has_the_name_is_refused() -> None:
    theirs = {"name": "sidecar", "image": "x", "volumeMounts": [{"name": "asya-socket", "mountPath": "/x"}]}
    assert read_record({"spec": {"containers": [theirs, RUNTIME]}}) is None


# -- shapes --------------------------------------------------------------------------------------


def pod(runtime: Object = RUNTIME, **fields: Any) -> Object:
    return {"spec": {"containers": [runtime], **fields}}


def made(template: Object, *, job: bool = False, scaled: bool = False, **settings: Any) -> dict[str, Object]:
    plan = make_plan(parse_actor(actor("a")), SidecarDefaults(**settings))
    result = inject(template, plan, job=job, scaled=scaled)
    value = (*result["spec"].get("initContainers", ()), *result["spec"]["containers"])
    assert uninject(result) == template
    assert inject(result, plan, job=job, scaled=scaled) is result
    return {c["name"]: c for c in value}


def variables(container: Object) -> Object:
    return {e["name"]: e.get("value") for e in container["env"]}


@pytest.mark.parametrize(
    ("pods", "runtimes", "user"),
    [
        (None, None, None),
        ({"runAsNonRoot": True}, None, 65532),
        ({"runAsNonRoot": True, "runAsUser": 5}, None, None),
        (None, {"runAsNonRoot": True}, 65532),
        ({"runAsUser": 5}, {"runAsNonRoot": True}, None),
        ({"runAsNonRoot": True}, {"runAsUser": 7}, 7),
        ({"runAsNonRoot": True}, {"runAsNonRoot": False}, None),
        ({"runAsNonRoot": False}, {"runAsNonRoot": True, "runAsUser": 9}, 9),
    ],
)
def test_a_pod_that_must_not_be_root_has_a_sidecar_with_a_numeric_user(
    pods: Object | None, runtimes: Object | None, user: int | None
) -> None:
    runtime = {**RUNTIME, **({"securityContext": runtimes} if runtimes else {})}
    result = made(pod(runtime, **({"securityContext": pods} if pods else {})))
    assert result["sidecar"]["securityContext"].get("runAsUser") == user
    assert "runAsUser" not in result["asya-socket"]["securityContext"] or runtimes


@pytest.mark.parametrize(
    ("runtime", "settings", "there"),
    [
        (RUNTIME, {}, True),
        ({"name": "runtime", "command": ["sh", "-c", "exec python3 /opt/asya/asya_runtime.py"]}, {}, True),
        ({"name": "runtime", "command": ["python3"], "args": ["/opt/asya/asya_runtime.py"]}, {}, True),
        ({**RUNTIME, "command": ["mine"]}, {}, False),
        ({"name": "runtime"}, {}, False),
        (RUNTIME, {"native_sidecars": False}, False),
        (RUNTIME, {"socket_activation": False}, False),
    ],
)
def test_the_socket_holder_exists_only_with_the_operators_script(
    runtime: Object, settings: Object, there: bool
) -> None:
    result = made(pod(runtime), **settings)
    assert ("asya-socket" in result) == there
    assert ("ASYA_SOCKET_HOLDER" in variables(result["runtime"])) == there


def test_the_holder_is_a_copy_of_the_runtime() -> None:
    env = [*RUNTIME["env"], {"name": "PATH", "value": "/venv/bin"}, {"name": "SECRET", "value": "x"}]
    result = made(pod({**RUNTIME, "imagePullPolicy": "Always", "env": env, "securityContext": {"runAsUser": 4}}))
    holder = result["asya-socket"]
    assert (holder["image"], holder["imagePullPolicy"], holder["restartPolicy"]) == ("app:1", "Always", "Always")
    assert holder["command"] == ["python3", "/opt/asya/asya_runtime.py", "hold"]
    assert holder["securityContext"]["runAsUser"] == 4
    assert variables(holder)["PATH"] == "/venv/bin"
    assert "SECRET" not in variables(holder)
    assert variables(holder)["ASYA_SOCKET_HOLDER"] == variables(result["runtime"])["ASYA_SOCKET_HOLDER"]


def test_probes_use_the_scripts_port_or_with_host_network_a_command() -> None:
    result = made(pod())
    assert result["runtime"]["startupProbe"]["httpGet"] == {"path": "/ready", "port": 9096, "scheme": "HTTP"}
    assert result["sidecar"]["lifecycle"]["preStop"]["httpGet"]["path"] == "/drain"
    assert result["sidecar"]["readinessProbe"]["httpGet"] == {"path": "/health", "port": 9095, "scheme": "HTTP"}
    for other in (pod(hostNetwork=True), pod({**RUNTIME, "ports": [{"containerPort": 9096}]})):
        result = made(other)
        assert result["runtime"]["readinessProbe"]["exec"]["command"][-1] == "ready"
        assert "lifecycle" not in result["sidecar"]
        assert "ASYA_RUNTIME_PORT" not in variables(result["runtime"])


def test_the_users_own_probes_and_variables_win() -> None:
    mine = {"readinessProbe": {"exec": {"command": ["true"]}}}
    env = [
        *RUNTIME["env"],
        {"name": "ASYA_RUNTIME_TIMEOUT", "value": "5s"},
        {"name": "ASYA_RUNTIME_PORT", "value": "8123"},
    ]
    result = made(pod({**RUNTIME, **mine, "env": env}))
    assert result["runtime"]["readinessProbe"] == mine["readinessProbe"]
    assert "startupProbe" not in result["runtime"]
    assert variables(result["runtime"])["ASYA_RUNTIME_TIMEOUT"] == "5s"
    assert result["sidecar"]["lifecycle"]["preStop"]["httpGet"]["port"] == 8123


def test_a_job_can_complete() -> None:
    result = made(pod(restartPolicy="Never"), job=True)
    assert list(result) == ["asya-socket", "sidecar", "runtime"]
    assert "lifecycle" not in result["sidecar"]
    assert "startupProbe" not in result["runtime"]
    assert variables(result["runtime"])["ASYA_JOB_IDLE_SECONDS"] == "60"
    assert "ASYA_JOB_MESSAGES" not in variables(result["runtime"])
    assert variables(made(pod(), job=True, scaled=True)["runtime"])["ASYA_JOB_MESSAGES"] == "1"
    own = made(pod({**RUNTIME, "command": ["mine"]}), job=True)
    assert not any(name.startswith("ASYA_JOB") for name in variables(own["runtime"]))


def test_the_function_is_kubectls_default_container_unless_the_user_sets_another() -> None:
    result = inject(pod(), PLAN)
    assert result["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"] == "runtime"
    mine = {**pod(), "metadata": {"annotations": {"kubectl.kubernetes.io/default-container": "other"}}}
    assert inject(mine, PLAN)["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"] == "other"
    assert uninject(inject(mine, PLAN)) == mine
    assert ANNOTATION_INJECTED in result["metadata"]["annotations"]


def test_the_sidecar_is_first_again_after_another_injector_and_keeps_its_changes() -> None:
    later = copy.deepcopy(MIRRORED)
    spec(later)["containers"].insert(0, {"name": "proxy", "image": "proxy:1"})
    for old in (None, DEPLOYMENT):
        result = spec(admit(later, old)[0])["containers"]
        assert [c["name"] for c in result] == ["sidecar", "proxy", "runtime"]
        assert result[0]["image"].startswith("mirror/")
