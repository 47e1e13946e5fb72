"""Every golden file, with the functions, the command line and the webhook."""

import base64
from pathlib import Path
from typing import Any

import jsonpatch
import orjson
import pytest
import yaml
from typer.testing import CliRunner

from cli.main import app
from cli.offline import Offline
from files.reading import split
from injection.inject import inject, uninject
from injection.kinds import KINDS
from injection.plan import Plan, make_plan, script_hash
from injection.settings import SidecarDefaults
from tests.golden import ACTORS, CASES, SCRIPT, Case, injected, offline, outcome, uninjected
from webhook.admission import PlanRequest
from webhook.app import create_app
from webhook.handler import Handler

Object = dict[str, Any]
INJECTED = [c for c in CASES if c.injected.exists()]
DENIED = [c for c in CASES if c.message.exists()]
RESOURCES = {kind.name: key for key, kind in KINDS.items()}


def ids(case: Case) -> str:
    return case.name


def test_there_are_enough_files_and_each_has_one_result() -> None:
    assert len(INJECTED) >= 60
    assert len(INJECTED) + len(DENIED) == len(CASES)
    assert all(case.source.read_text().startswith("# ") for case in CASES), (
        "a golden file must start with a comment that describes it"
    )


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_outcome(case: Case) -> None:
    path, text = outcome(case)
    assert text == path.read_text(), "run `make golden` and look at the difference"


@pytest.mark.parametrize("case", INJECTED, ids=ids)
def test_uninjecting_is_the_inverse_and_injecting_twice_changes_nothing(case: Case) -> None:
    text = case.injected.read_text()
    assert uninjected(text) == case.source.read_text()
    assert injected(split(text), case.defaults) == (text, [])


def objects(text: str) -> list[Object]:
    return [obj for document in split(text) for _, obj in document.objects()]


def plan_of(name: str, defaults: SidecarDefaults | None = None) -> Plan | None:
    defaults = defaults or SidecarDefaults()
    actor = offline(defaults).actors.get(("default", name))
    return make_plan(actor, defaults, script_hash(SCRIPT.read_text())) if actor else None


@pytest.mark.parametrize("case", INJECTED, ids=ids)
def test_the_function_alone_is_its_own_inverse(case: Case) -> None:
    for obj in objects(case.source.read_text()):
        resource = RESOURCES.get(obj["kind"])
        plan = plan_of((obj["metadata"].get("labels") or {}).get("asya.io/actor", ""), case.defaults)
        if resource is None or plan is None:
            continue
        template = KINDS[resource].template(obj) or {}
        once = inject(template, plan, job=KINDS[resource].job)
        assert once != template
        assert inject(once, plan, job=KINDS[resource].job) is once
        assert uninject(once) == template


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_the_webhook_gives_the_same_result(case: Case) -> None:
    def lookup(wanted: PlanRequest) -> Plan | None:
        return plan_of(wanted.actor, case.defaults)

    client = create_app(Handler(lookup, case.defaults)).test_client()
    results, messages = [], []
    for obj in objects(case.source.read_text()):
        resource = RESOURCES.get(obj["kind"])
        if resource is None:
            results.append(obj)
            continue
        request = {
            "uid": "0b4ab323-b607-11e8-a555-42010a800002",
            "operation": "CREATE",
            "namespace": "default",
            "userInfo": {"username": "somebody"},
            "resource": {"group": resource[0], "resource": resource[1]},
            "object": obj,
        }
        body = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
        answer = client.post("/mutate", data=orjson.dumps(body), content_type="application/json").get_json()["response"]
        if not answer["allowed"]:
            messages.append(answer["status"]["message"])
        patch = orjson.loads(base64.b64decode(answer["patch"])) if "patch" in answer else []
        results.append(jsonpatch.apply_patch(obj, patch))
    if case.message.exists():
        assert [m.partition(": ")[2] for m in case.message.read_text().splitlines()] == messages
    else:
        wanted = objects(case.injected.read_text())
        assert [orjson.dumps(r, option=orjson.OPT_SORT_KEYS) for r in results] == [
            orjson.dumps(w, option=orjson.OPT_SORT_KEYS) for w in wanted
        ]


# -- by the command line -------------------------------------------------------------------------


def run(*arguments: str, stdin: str = "", holder: bool = True) -> Any:
    env = {"ASYA_RUNTIME_LOCAL_PATH": str(SCRIPT), "ASYA_SOCKET_ACTIVATION": str(holder).lower()}
    result = CliRunner().invoke(app, list(arguments), input=stdin, env=env)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.mark.parametrize("case", INJECTED, ids=ids)
def test_the_command_line_gives_the_same_result_for_files_and_standard_input(case: Case) -> None:
    settings = ["--actor", str(ACTORS), *([] if case.defaults.native_sidecars else ["--no-native-sidecars"])]
    holder = case.defaults.socket_activation
    done = run("inject", "-f", str(case.source), *settings, holder=holder)
    assert (done.exit_code, done.stdout) == (0, case.injected.read_text())
    second = run("inject", "-f", "-", *settings, stdin=done.stdout, holder=holder)
    assert second.stdout == done.stdout
    back = run("uninject", "-f", "-", stdin=done.stdout)
    assert (back.exit_code, back.stdout) == (0, case.source.read_text())


@pytest.mark.parametrize("case", DENIED, ids=ids)
def test_a_denial_is_an_error_without_output(case: Case) -> None:
    settings = ["--actor", str(ACTORS), *([] if case.defaults.native_sidecars else ["--no-native-sidecars"])]
    done = run("inject", "-f", str(case.source), *settings)
    assert (done.exit_code, done.stdout) == (1, "")
    messages = [line for line in done.stderr.splitlines() if not line.startswith("Warning: ")]
    assert messages == [f"error: {case.source}: {m}" for m in case.message.read_text().splitlines()]


def test_json_is_one_object_or_a_list_of_several() -> None:
    one = run("inject", "-f", str(Case("deployment").source), "--actor", str(ACTORS), "-o", "json")
    assert orjson.loads(one.stdout) == objects(Case("deployment").injected.read_text())[0]
    several = run("inject", "-f", str(Case("several-documents").source), "--actor", str(ACTORS), "-o", "json")
    assert [o["kind"] for o in orjson.loads(several.stdout)["items"]] == ["ConfigMap", "Deployment", "Deployment"]


def test_json_input_and_output(tmp_path: Path) -> None:
    obj = objects(Case("deployment").source.read_text())[0]
    file = tmp_path / "web.json"
    file.write_bytes(orjson.dumps(obj))
    done = run("inject", "-f", str(file), "--actor", str(ACTORS))
    assert orjson.loads(done.stdout) == objects(Case("deployment").injected.read_text())[0]


def test_actors_in_the_same_file_are_used(tmp_path: Path) -> None:
    file = tmp_path / "all.yaml"
    file.write_text(ACTORS.read_text() + "---\n" + Case("deployment").source.read_text())
    done = run("inject", "-f", str(file))
    assert done.stdout == ACTORS.read_text() + "---\n" + Case("deployment").injected.read_text()


def test_unlabel_removes_the_label_too() -> None:
    done = run("uninject", "--unlabel", "-f", str(Case("deployment").injected))
    (obj,) = objects(done.stdout)
    assert "labels" not in obj["metadata"]
    assert obj["spec"] == objects(Case("deployment").source.read_text())[0]["spec"]


@pytest.mark.parametrize(
    ("text", "message"),
    [("a: [", "standard input:1:5: while parsing a flow node"), ("", "nothing was injected"), ("- 1\n", "nothing was")],
)
def test_an_invalid_manifest_is_reported(text: str, message: str) -> None:
    assert message in run("inject", "-f", "-", stdin=text).stderr


def test_a_missing_file_is_an_error() -> None:
    done = run("inject", "-f", "/nonexistent.yaml")
    assert done.exit_code == 1
    assert "error: /nonexistent.yaml: cannot be read" in done.stderr


def test_text_that_yaml_would_read_as_another_type_is_quoted() -> None:
    actor = ACTORS.read_text().replace("value: DEBUG", 'value: "on"').split("---\n")[11]
    deployment = Case("own-environment").source.read_text()
    done = run("inject", "-f", "-", stdin=f"{actor}---\n{deployment}")
    env = objects(done.stdout)[1]["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {"name": "ASYA_LOG_LEVEL", "value": "on"} in env


# -- render --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("example", "kinds"),
    [
        ("rabbitmq-deployment", ["ConfigMap", "ConfigMap", "TriggerAuthentication", "Deployment", "ScaledObject"]),
        ("sqs-statefulset", ["ConfigMap", "StatefulSet"]),
        ("scaled-job", ["ConfigMap", "ConfigMap", "TriggerAuthentication", "ScaledJob"]),
    ],
)
def test_render_prints_the_objects_of_a_cluster(example: str, kinds: list[str]) -> None:
    done = run("render", "-f", f"examples/{example}.yaml", "-n", "prod")
    assert done.exit_code == 0, done.stderr
    rendered = list(yaml.safe_load_all(done.stdout))
    assert [o["kind"] for o in rendered] == kinds
    assert {o["metadata"]["namespace"] for o in rendered} == {"prod"}
    assert "sidecar" in str(rendered[-1 if example != "rabbitmq-deployment" else 3]["spec"])
    last = split(done.stdout)[-1]
    assert Offline.uninject(last) is not last or kinds[-1] == "ScaledObject"


def test_render_refuses_what_validation_refuses() -> None:
    done = run("render", "-f", "examples/invalid.yaml")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "spec.scaling.minReplicas: must not be greater than maxReplicas" in done.stderr


def test_render_injects_other_workloads_of_the_file(tmp_path: Path) -> None:
    done = run("render", "-f", str(ACTORS), "-f", str(Case("deployment").source), "-o", "json")
    items = orjson.loads(done.stdout)["items"]
    assert items[-1] == objects(Case("deployment").injected.read_text())[0]


def test_crd_prints_the_manifest() -> None:
    assert run("crd").stdout == Path("crds/asyncactors.yaml").read_text()
