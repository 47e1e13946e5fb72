"""The chart rendered by real helm: valid for every Kubernetes, wrong values refused, consistent with the code."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from crds.generate import CHART, CHART_CRD, values, with_generated
from crds.manifest import rendered
from kube.resources import Resource
from tests.chart.schemas import is_foreign
from tests.chart.table import values_of_processes
from tests.harness.clusters import ROOT, Cluster
from tests.harness.helm import Helm, HelmError
from tests.harness.operator import NAMESPACES
from webhook.configuration import configurations

Object = dict[str, Any]

PLURALS = {"NetworkPolicy": "networkpolicies"}
VALUE_SETS: dict[str, Object] = {
    "defaults": {},
    "one-of-everything": {"webhook": {"replicas": 1, "podDisruptionBudget": False}},
    "cert-manager": {"certs": {"mode": "cert-manager"}},
    "own-certificate": {"certs": {"mode": "secret", "secretName": "mine"}},
    "short-certificates": {"certs": {"caLifetime": "48h", "lifetime": "12h", "overlap": "30s"}},
    "monitoring": {"metrics": {"port": 9090, "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}}}},
    "alerts-and-dashboard": {
        "metrics": {"rules": {"enabled": True, "labels": {"a": "b"}}, "dashboard": {"enabled": True}}
    },
    "network-policy": {"networkPolicy": {"enabled": True}},
    "critical": {"priorityClassName": "system-cluster-critical", "controller": {"replicas": 2}},
    "private-registry": {
        "image": {"repository": "registry.example.com/asya", "tag": "1.2.3", "pullPolicy": "Always"},
        "imagePullSecrets": [{"name": "registry"}],
    },
    "scheduling": {
        "webhook": {
            "nodeSelector": {"kubernetes.io/os": "linux"},
            "tolerations": [{"key": "control-plane", "operator": "Exists"}],
            "affinity": {"podAntiAffinity": {}},
        },
        "controller": {"nodeSelector": {"kubernetes.io/os": "linux"}},
    },
    "sidecar": {
        "sidecar": {
            "image": "side:2",
            "defaultResources": {"limits": {"cpu": 1}},
            "metricsPort": 9999,
            "gatewayUrl": "http://gateway",
        },
        "logLevel": "DEBUG",
    },
    "runtime-elsewhere": {"runtime": {"namespace": "asya-runtime", "rollout": False}},
    "lenient-webhook": {
        "webhook": {"failurePolicy": "Ignore", "timeoutSeconds": 3, "excludedNamespaces": ["monitoring", "argocd"]}
    },
    "webhook-outside": {"webhook": {"url": "https://host.docker.internal:8443/"}},
    "cloud-identity": {"serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/asya"}}},
    "no-crd": {"crds": {"install": False}},
    "all-of-the-processes": values_of_processes(),
    "two-namespaces": {"watchNamespaces": ["asya-runtime"], "fullnameOverride": "mine"},
    "dual-stack": {"service": {"ipFamilyPolicy": "PreferDualStack"}},
}


@pytest.fixture(scope="module")
def helm() -> Helm:
    return Helm()


@pytest.mark.best_tier
@pytest.mark.parametrize("name", VALUE_SETS)
def test_an_api_server_accepts_the_rendered_manifests(helm: Helm, cluster: Cluster, name: str) -> None:
    client = cluster.client()
    for namespace in ("asya-system", "asya-runtime"):
        client.apply(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    for obj in helm.template(VALUE_SETS[name], "--kube-version", "1.36.0"):
        if is_foreign(obj):
            continue
        resource = Resource(obj["apiVersion"], obj["kind"], PLURALS.get(obj["kind"], obj["kind"].lower() + "s"))
        metadata = obj["metadata"]
        if obj["kind"].endswith("WebhookConfiguration"):
            metadata["name"] += "-rendered"  # the operator of other tests may have a configuration with a URL
        client.request(
            "PATCH",
            resource.path(metadata.get("namespace", ""), metadata["name"]),
            query={"fieldManager": "helm", "force": "true", "dryRun": "All", "fieldValidation": "Strict"},
            body=obj,
            content_type="application/apply-patch+yaml",
        )


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"webhook": {"failurePolicy": "Sometimes"}}, "failurePolicy"),
        ({"webhook": {"timeoutSeconds": 60}}, "timeoutSeconds"),
        ({"webhook": {"url": "http://plain"}}, "url"),
        ({"certs": {"mode": "magic"}}, "mode"),
        ({"certs": {"lifetime": "90 days"}}, "lifetime"),
        ({"sidecar": {"metricsPort": 0}}, "metricsPort"),
        ({"sidecar": {"defaultResources": {"limit": {}}}}, "limit"),
        ({"runtime": {"source": "ftp"}}, "source"),
        ({"runtime": {"github": {"repo": "no-owner"}}}, "repo"),
        ({"reinjection": {"parallel": 0}}, "parallel"),
        ({"controler": {}}, "controler"),
        ({"logLevel": "LOUD"}, "logLevel"),
    ],
)
def test_wrong_values_are_refused_by_name(helm: Helm, wrong: Object, word: str) -> None:
    with pytest.raises(HelmError) as caught:
        helm.template(wrong)
    assert word in str(caught.value)


def test_values_of_the_original_stay_valid(helm: Helm) -> None:
    old = {
        "runtime": {
            "source": "local",
            "local": {"path": "/opt/script.py"},
            "github": {"repo": "deliveryhero/asya", "version": "v1"},
            "namespace": "asya",
        },
        "sidecar": {"image": "side:1", "defaultResources": {"limits": {"memory": "1Gi"}}},
    }
    controller = next(
        o for o in helm.template(old) if o["kind"] == "Deployment" and o["metadata"]["name"] == "asya-operator"
    )
    env = {e["name"]: e.get("value") for e in controller["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert env["ASYA_RUNTIME_LOCAL_PATH"] == "/opt/script.py"
    assert env["ASYA_RUNTIME_NAMESPACE"] == "asya"
    assert env["ASYA_RUNTIME_GITHUB_REPO"] == "deliveryhero/asya"
    assert env["ASYA_SIDECAR_RESOURCES"] == '{"limits":{"memory":"1Gi"},"requests":{"cpu":"50m","memory":"64Mi"}}'


@pytest.mark.parametrize(("version", "conditions"), [("1.29.0", False), ("1.30.0", True)])
def test_the_webhook_configurations_match_the_code(helm: Helm, version: str, conditions: bool) -> None:
    url = "https://webhook.example.com"
    rendered = [
        o
        for o in helm.template({"webhook": {"url": url}}, "--kube-version", version)
        if o["kind"].endswith("WebhookConfiguration")
    ]
    expected = configurations({"url": url}, excluded_namespaces=["asya-system"], match_conditions=conditions)
    for obj in (*rendered, *expected):
        obj["metadata"] = {}
        for hook in obj["webhooks"]:
            hook["rules"] = sorted(
                ({k: sorted(v) if isinstance(v, list) else v for k, v in rule.items()} for rule in hook["rules"]),
                key=str,
            )
    assert rendered == expected


def test_no_configuration_has_a_ca_bundle_that_an_upgrade_could_clear(helm: Helm) -> None:
    for mode in ("self", "secret", "cert-manager"):
        assert "caBundle" not in helm.run("template", "x", str(CHART), values={"certs": {"mode": mode}})


def test_the_crd_matches_the_models_and_stays_on_uninstall(helm: Helm) -> None:
    assert CHART_CRD.read_text() == rendered(), "run `make generate`"
    (crd,) = (o for o in helm.template() if o["kind"] == "CustomResourceDefinition")
    assert crd["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert crd["spec"] == yaml.safe_load(rendered())["spec"]


def test_the_readme_lists_every_value() -> None:
    text, readme = (CHART / "values.yaml").read_text(), (CHART / "README.md").read_text()
    assert readme == with_generated(readme, values(text)), "run `make generate`"
    assert values(text).count("\n") > 40


def test_the_notes_show_the_next_command(helm: Helm) -> None:
    text = helm.run("install", "asya-operator", str(CHART), "--dry-run=client")
    assert "rollout status deployment/asya-operator-webhook" in text
    assert "kubectl label deployment NAME asya.io/actor=ACTOR" in text


def test_the_chart_names_no_unpublished_image_of_this_project(helm: Helm) -> None:
    """The project publishes no image. The sidecar's image is the Asya project's, and has a fixed tag."""
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    for obj in helm.template():
        pod = obj["spec"] if obj["kind"] == "Pod" else obj.get("spec", {}).get("template", {}).get("spec")
        for container in (pod or {}).get("containers", ()):
            assert container["image"] == f"asya-operator:{version}"


def test_containers_are_restricted(helm: Helm) -> None:
    for obj in helm.template():
        pod = obj["spec"] if obj["kind"] == "Pod" else obj.get("spec", {}).get("template", {}).get("spec")
        if not isinstance(pod, dict) or "containers" not in pod:
            continue
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}


def test_packages_are_complete_and_run_as_any_user(tmp_path: Path) -> None:
    """Do what the image's build does, without its engine: install, then run as uid 65532 without writable files."""
    target = tmp_path / "site"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    for directory in (tmp_path, *tmp_path.parents):
        if not directory.stat().st_mode & 0o001:
            directory.chmod(directory.stat().st_mode | 0o011)
    libraries = next(p for p in sys.path if p.endswith("site-packages"))
    # The interpreter may be in a home that other users cannot read, so import everything before the change of user.
    code = "; ".join(
        [
            "import os, sys",
            f"sys.path[:0] = [{str(target)!r}, {libraries!r}]",
            "import cli.main, controller.process, webhook.server, webhook.worker, certs.keeper, crds.manifest, runtime",
            "assert cli.main.__file__.startswith(sys.argv.pop(1))",
            "os.getuid() or (os.setgid(65532), os.setuid(65532))",
            "assert runtime.SCRIPT.exists()",
            "cli.main.app()",
        ]
    )
    completed = subprocess.run(
        [
            sys.executable,
            "-I",
            "-B",
            "-c",
            code,
            str(target),
            "crd",
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    assert completed.returncode == 0, completed.stderr
    assert completed.stdout == rendered()


def test_make_release_builds_everything(tmp_path: Path) -> None:
    command = ["make", "--silent", "release", f"DIST={tmp_path / 'dist'}"]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["version"]
    made = {file.name: file for file in (tmp_path / "dist").iterdir()}
    wheel, sbom = f"asya_operator-{version}-py3-none-any.whl", "asya-operator.cdx.json"
    more = {"install.yaml", "kubectl-asya.tar.gz", "asya.yaml", "asya-operator-chart.cdx.json", "SHA256SUMS"}
    assert set(made) == {wheel, f"asya-operator-{version}.tgz", sbom, *more}
    names = zipfile.ZipFile(made[wheel]).namelist()
    assert {"cli/plugin.py", "crds/asyncactors.yaml", "runtime/asya_runtime.py"} <= set(names)
    assert not [name for name in names if name.startswith("tests")]
    parts = {part["name"] for part in json.loads(made[sbom].read_text())["components"]}
    assert {"flask", "urllib3", "pydantic"} <= parts
    assert "kubernetes" not in parts, "the bill of materials is not the image's"
