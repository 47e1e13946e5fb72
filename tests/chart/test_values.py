"""Every value of the chart has its documented effect, and a wrong value is refused by name."""

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import yaml
from typer.main import get_command

from cli.main import app
from crds.generate import CHART, CHART_DEFAULTS, defaults
from tests.chart.cases import Case, Object, merged, reached, values_of
from tests.chart.schemas import VERSIONS, complaints, is_foreign
from tests.chart.table import CONTROLLER, MONITORED, POD, PROCESSES, TABLE, WEBHOOK, values_of_processes
from tests.harness.clusters import ROOT
from tests.harness.helm import Helm

HELM = Helm()


@cache
def _rendered(values: str, version: str = "1.36.0") -> list[Object]:
    return HELM.template(json.loads(values), "--kube-version", version)


def rendered(values: Object, version: str = "1.36.0") -> list[Object]:
    """The objects. Equal values are rendered once."""
    return _rendered(json.dumps(values, sort_keys=True), version)


@pytest.mark.parametrize("case", TABLE, ids=lambda case: f"{case.key}-{case.target}")
def test_each_value_has_its_effect(case: Case) -> None:
    together = case in PROCESSES and case.path
    objects = rendered(values_of_processes() if together else values_of(case))
    assert reached(objects, case.target, case.path) == case.expected
    assert reached(rendered({}), case.target, case.path) != case.expected, "the default already has this effect"


def leaves(values: Object, path: str = "") -> set[str]:
    """Dotted keys of values that are not maps, or are empty maps."""
    keys = set()
    for key, value in values.items():
        here = f"{path}{key}"
        keys |= leaves(value, f"{here}.") if isinstance(value, dict) and value else {here}
    return keys


def test_the_table_has_every_value() -> None:
    known = {case.key for case in TABLE} | {"chartVersion"}
    missing = [
        leaf
        for leaf in leaves(yaml.safe_load((CHART / "values.yaml").read_text()))
        if not any(leaf == key or leaf.startswith(f"{key}.") for key in known)
    ]
    assert missing == []


def test_the_schema_knows_exactly_the_charts_values() -> None:
    """So do the defaults that complete the values of an older chart."""
    text = (CHART / "values.yaml").read_text()
    assert CHART_DEFAULTS.read_text() == defaults(text), "run `make generate`"
    schema = json.loads((CHART / "values.schema.json").read_text())

    def compare(values: Object, node: Object, path: str) -> None:
        properties = node.get("properties")
        if properties is None or node.get("additionalProperties") is not False:
            return
        for name, child in properties.items():
            child = schema["definitions"][child["$ref"].rpartition("/")[2]] if "$ref" in child else child
            if isinstance(values.get(name), dict):
                compare(values[name], child, f"{path}{name}.")
        assert set(values) <= set(properties), path

    compare(yaml.safe_load(text), schema, "")
    assert set(schema["properties"]) - set(yaml.safe_load(text)) == {"enabled"}


# -- Kubernetes' schemas ---------------------------------------------------------------------------

SETS: dict[str, Object] = {
    "defaults": {},
    "processes": values_of_processes(),
    **{
        f"{case.key}-{number}": values_of(case)
        for number, case in enumerate(TABLE)
        if case not in PROCESSES and ".env." not in case.path
    },
}
"""Cases that change more than the text of a variable. A schema does not check such text."""


@pytest.mark.parametrize(("rendering", "versions"), [("1.25.0", VERSIONS[:5]), ("1.30.0", VERSIONS[5:])])
def test_rendered_objects_are_valid_for_every_kubernetes(rendering: str, versions: list[str]) -> None:
    """All sets of values, for an old and a new Kubernetes. Equal objects are checked against a schema once."""
    assert len(SETS) >= 40
    objects: dict[str, tuple[str, Object]] = {}
    for name, values in SETS.items():
        for obj in rendered(values, rendering):
            if not is_foreign(obj):
                objects.setdefault(json.dumps(obj, sort_keys=True), (name, obj))
    errors = [
        f"{version}: {name}: {complaint}"
        for version in versions
        for name, obj in objects.values()
        for complaint in complaints(obj, version)
    ]
    assert errors == []


# -- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"global": {"imageRegistry": "https://mirror"}}, ["/global/imageRegistry", "pattern"]),
        ({"image": {"digest": "sha256:abc"}}, ["/image/digest", "pattern"]),
        ({"image": {"repository": "a/b:1"}}, ["/image/repository"]),
        ({"image": {"tag": "a b"}}, ["/image/tag"]),
        ({"imagePullSecrets": [{"nam": "x"}]}, ["/imagePullSecrets/0"]),
        ({"fullnameOverride": "Upper"}, ["/fullnameOverride"]),
        ({"commonLabels": {"a": 1}}, ["/commonLabels/a", "want string"]),
        ({"watchNamespaces": "one"}, ["/watchNamespaces", "want array"]),
        ({"watchNamespaces": ["one", "one"]}, ["/watchNamespaces"]),
        ({"watchNamespaces": ["One"]}, ["/watchNamespaces/0"]),
        ({"client": {"qps": 0}}, ["/client/qps", "minimum"]),
        ({"leaderElection": {"renewDeadline": 15}}, ["leaderElection", "renewDeadline < leaseDuration"]),
        ({"leaderElection": {"retryPeriod": 10}}, ["leaderElection", "retryPeriod < renewDeadline"]),
        ({"service": {"ipFamilies": ["IPv5"]}}, ["/service/ipFamilies/0", "IPv4"]),
        ({"service": {"ipFamilyPolicy": "Both"}}, ["/service/ipFamilyPolicy", "RequireDualStack"]),
        ({"runtime": {"source": "github"}}, ["runtime.github.repo", "owner/name"]),
        ({"runtime": {"github": {"proxy": "proxy:3128"}}}, ["/runtime/github/proxy"]),
        ({"runtime": {"github": {"tokenSecret": "t"}}}, ["/runtime/github/tokenSecret", "want object"]),
        ({"sidecar": {"extraVolumes": [{"name": "ca"}]}}, ["/sidecar/extraVolumes/0/name", "asya-"]),
        ({"sidecar": {"extraVolumeMounts": [{"name": "asya-ca"}]}}, ["/sidecar/extraVolumeMounts/0", "mountPath"]),
        ({"controller": {"tolerations": {}}}, ["/controller/tolerations", "want array"]),
        ({"controller": {"extraEnv": [{"value": "b"}]}}, ["/controller/extraEnv/0", "name"]),
        ({"controller": {"extraVolumeMounts": [{"name": "a", "mountPath": "b"}]}}, ["mountPath"]),
        ({"webhook": {"hostNetwork": "yes"}}, ["/webhook/hostNetwork", "want boolean"]),
        ({"webhook": {"dnsPolicy": "Mine"}}, ["/webhook/dnsPolicy", "ClusterFirst"]),
        ({"webhook": {"port": 0}}, ["/webhook/port"]),
        ({"webhook": {"peerConnections": 2000}}, ["/webhook/peerConnections", "maximum"]),
        ({"webhook": {"livenessProbe": {"period": 3}}}, ["/webhook/livenessProbe", "period"]),
        ({"webhook": {"livenessProbe": {"successThreshold": 2}}}, ["/webhook/livenessProbe/successThreshold"]),
        ({"runtime": {"local": {"path": "script.py"}}}, ["/runtime/local/path"]),
        ({"webhook": {"updateStrategy": {"type": "Canary"}}}, ["/webhook/updateStrategy/type", "Recreate"]),
        ({"webhook": {"podDisruptionBudgetSpec": {"maxUnavailable": "half"}}}, ["podDisruptionBudgetSpec"]),
        ({"webhook": {"serviceAccount": {"create": "no"}}}, ["/webhook/serviceAccount/create", "want boolean"]),
        ({"extraObjects": [1]}, ["/extraObjects/0"]),
        ({"rbac": {"agregate": True}}, ["/rbac", "agregate"]),
    ],
    ids=str,
)
def test_a_wrong_value_is_refused_by_name(wrong: Object, words: list[str]) -> None:
    message = HELM.refusal(wrong)
    assert all(word in message for word in words), message


NAMED_AFTER_THE_PROJECT = ("helm.sh/chart", ".image", ".groups.0.name", ".data.asya-operator.json")


def _texts(obj: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Each text in an object, and its path."""
    if isinstance(obj, str):
        yield path, obj
    for key, value in obj.items() if isinstance(obj, dict) else enumerate(obj) if isinstance(obj, list) else ():
        yield from _texts(value, f"{path}.{key}")


def test_a_name_of_ones_own_is_used_everywhere() -> None:
    """Objects, selectors and alerts have the user's name. The command and the image keep theirs."""
    values = merged(MONITORED, {"fullnameOverride": "ours", "nameOverride": "ours", "networkPolicy": {"enabled": True}})
    text = HELM.run("template", "theirs", str(CHART), "--kube-version", "1.36.0", values=values)
    objects = [obj for obj in yaml.safe_load_all(text) if obj]
    command = r"asya-operator (doctor|certs show) --name ours"
    wrong_names = [
        (obj["metadata"]["name"], path)
        for obj in objects
        for path, part in _texts(obj)
        if "asya-operator" in re.sub(command, "", part) and not path.endswith(NAMED_AFTER_THE_PROJECT)
    ]
    assert wrong_names == []
    assert reached(objects, "PrometheusRule/ours", "spec.groups.0.rules.2.expr") == 'up{job=~"ours.*"} == 0'


SAME = ("ASYA_CLIENT", "ASYA_LEASE", "ASYA_WEBHOOK_", "ASYA_METRICS", "ASYA_WORKERS")


def test_the_chart_and_the_command_line_have_the_same_defaults() -> None:
    env = reached(rendered({}), CONTROLLER, f"{POD}.containers.0.env")
    webhook = reached(rendered({}), WEBHOOK, f"{POD}.containers.0.env")
    given = {e["name"]: e["value"] for e in [*env, *webhook] if "value" in e}
    checked = set()
    for command in get_command(app).commands.values():  # type: ignore[attr-defined]
        for option in command.params if command.name in ("controller", "webhook") else ():
            if option.envvar in given and option.envvar.startswith(SAME):
                assert given[option.envvar] == str(option.default), option.envvar
                checked.add(option.envvar)
    assert len(checked) == 12


def test_the_processes_read_every_variable_that_the_chart_sets() -> None:
    """The table's cases end at the variable, so its name must be the name in the code."""
    packages = ("certs", "cli", "controller", "injection", "kube", "telemetry", "webhook")
    code = "".join(file.read_text() for package in packages for file in (ROOT / package).rglob("*.py"))
    known = set(re.findall(r"""["']((?:ASYA|POD)_[A-Z0-9_]+)["']""", code))
    given = {e["name"] for pod in _pods(rendered({})).values() for e in pod["containers"][0].get("env") or ()}
    assert len(given) > 40
    assert given - known == set()


# -- OpenShift, dependencies, older charts ---------------------------------------------------------


def _pods(objects: list[Object]) -> dict[str, Object]:
    pods = {}
    for obj in objects:
        spec = obj.get("spec") or {}
        pod = spec if obj["kind"] == "Pod" else (spec.get("template") or {}).get("spec")
        if pod is not None and "containers" in pod:
            pods[f"{obj['kind']}/{obj['metadata']['name']}"] = pod
    return pods


def test_the_cluster_can_choose_users_and_groups() -> None:
    """OpenShift's restricted-v2 refuses a user or group outside of the namespace's own range."""
    ids: Object = {"podSecurityContext": {"runAsUser": None, "runAsGroup": None, "fsGroup": None}}
    pods = _pods(rendered({"controller": ids, "webhook": ids}))
    assert len(pods) == 5
    for pod in pods.values():
        assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
        assert not any("runAs" in key for container in pod["containers"] for key in container["securityContext"])
    none: Object = {"podSecurityContext": None, "securityContext": None}
    for pod in _pods(rendered({"controller": none, "webhook": none})).values():
        assert "securityContext" not in pod
        assert "securityContext" not in pod["containers"][0]


def test_the_chart_can_be_a_dependency_with_a_condition(tmp_path: Any) -> None:
    parent = tmp_path / "parent"
    parent.mkdir()
    dependency = {"name": "asya-operator", "version": "3.0.0", "repository": "", "condition": "asya-operator.enabled"}
    chart = {"apiVersion": "v2", "name": "parent", "version": "1.0.0", "dependencies": [dependency]}
    (parent / "Chart.yaml").write_text(yaml.safe_dump(chart))
    (parent / "charts").mkdir()
    (parent / "charts" / "asya-operator").symlink_to(CHART)
    for enabled in (True, False):
        values = {"asya-operator": {"enabled": enabled, "logLevel": "DEBUG"}, "global": {"theirs": 1}}
        text = HELM.run("template", "parent", str(parent), values=values)
        assert ("kind: Deployment" in text) is enabled
        assert ("DEBUG" in text) is enabled


OLDER = """
image: {repository: registry.example.com/asya, tag: 0.1.0, pullPolicy: Always}
imagePullSecrets: []
logLevel: INFO
runtime:
  source: local
  local: {path: ""}
  github: {repo: "", version: "", sha256: "", url: ""}
  namespace: ""
  rollout: true
sidecar:
  image: ghcr.io/deliveryhero/asya-sidecar:1.1.3
  imagePullPolicy: IfNotPresent
  defaultResources: {requests: {cpu: 50m, memory: 64Mi}, limits: {memory: 256Mi}}
  metricsPort: 9095
controller: {replicas: 2, workers: 8, resources: {limits: {memory: 1Gi}}}
webhook: {replicas: 2, workers: 2, threads: 64, failurePolicy: Fail, podDisruptionBudget: true}
certs: {mode: self, secretName: asya-operator-webhook-cert}
metrics: {port: 8080}
"""
"""The values that `helm upgrade --reuse-values` keeps from a chart with fewer values. They replace all others."""


def test_values_of_an_older_chart_are_completed(tmp_path: Any) -> None:
    """``--reuse-values`` uses the old release's values instead of the new defaults, so new values are missing."""
    copy = tmp_path / "chart"
    copy.mkdir()
    for file in CHART.iterdir():
        (copy / file.name).symlink_to(file)
    (copy / "values.yaml").unlink()
    (copy / "values.yaml").write_text(OLDER)
    text = HELM.run("template", "asya-operator", str(copy), "--kube-version", "1.36.0")
    older = [obj for obj in yaml.safe_load_all(text) if obj]
    newer = HELM.template(yaml.safe_load(OLDER), "--kube-version", "1.36.0")
    assert older == newer
    assert reached(older, WEBHOOK, f"{POD}.containers.0.securityContext.readOnlyRootFilesystem") is True
    assert reached(older, CONTROLLER, "spec.replicas") == 2


def test_cases_merge() -> None:
    assert merged({"a": {"b": 1}, "c": 2}, {"a": {"d": 3}}) == {"a": {"b": 1, "d": 3}, "c": 2}
