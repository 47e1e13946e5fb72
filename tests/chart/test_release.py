"""The files of `make release`: complete, reproducible and installable."""

import hashlib
import http.server
import io
import json
import re
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from crds.generate import CHART
from release import __main__ as release
from release.chart import BadImage, image_values, parts_of
from tests.chart.schemas import complaints, is_foreign
from tests.harness.clusters import ROOT
from tests.harness.helm import Helm

DIGEST = "sha256:" + "a" * 64
IMAGE = f"registry.example.com:5000/asya/asya-operator@{DIGEST}"
URL = "https://releases.example.com/v3"
VERSION = release.version()


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All files of `make release`. Its wheel and the image's bill of materials stand for other tools' output."""
    place = tmp_path_factory.mktemp("dist")
    with zipfile.ZipFile(place / f"asya_operator-{VERSION}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(zipfile.ZipInfo("cli/plugin.py"), "")
    command = [sys.executable, "-m", "release", "--dist", str(place), "--image", IMAGE, "--url", URL]
    subprocess.run(command, check=True, cwd=ROOT)
    return place


def test_the_chart_names_its_image_and_has_annotations_for_artifact_hub(dist: Path) -> None:
    package = dist / f"asya-operator-{VERSION}.tgz"
    text = Helm().run("template", "asya-operator", str(package))
    assert set(re.findall(r"^\s*image: (\S+)$", text, re.MULTILINE)) == {IMAGE}
    with tarfile.open(package) as chart:
        files = {member.name.partition("/")[2]: member for member in chart.getmembers()}
        about = yaml.safe_load(chart.extractfile(files["Chart.yaml"]).read())  # type: ignore[union-attr]
        values = chart.extractfile(files["values.yaml"]).read().decode()  # type: ignore[union-attr]
    annotations = about["annotations"]
    assert yaml.safe_load(annotations["artifacthub.io/images"])[0]["image"] == IMAGE
    assert yaml.safe_load(annotations["artifacthub.io/crds"])[0]["kind"] == "AsyncActor"
    assert len(yaml.safe_load(annotations["artifacthub.io/changes"])) > 5
    before = (CHART / "values.yaml").read_text()
    assert len([1 for old, new in zip(before.splitlines(), values.splitlines(), strict=True) if old != new]) == 2, (
        "the image must have name and digest"
    )


def test_the_plain_manifest_is_complete_and_valid(dist: Path) -> None:
    objects = list(yaml.safe_load_all((dist / "install.yaml").read_text()))
    assert [obj["kind"] for obj in objects[:2]] == ["Namespace", "CustomResourceDefinition"]
    kinds = {obj["kind"] for obj in objects}
    assert {"Deployment", "Service", "MutatingWebhookConfiguration", "ClusterRole", "ServiceAccount"} <= kinds
    assert not [obj for obj in objects if "helm.sh/hook" in (obj["metadata"].get("annotations") or {})]
    assert "managed-by: Helm" not in (dist / "install.yaml").read_text()
    assert [c for obj in objects if not is_foreign(obj) for c in complaints(obj, "1.36")] == []


def test_krew_can_install_the_plugin(dist: Path) -> None:
    about = yaml.safe_load((dist / "asya.yaml").read_text())
    assert (about["kind"], about["metadata"]["name"], about["spec"]["version"]) == ("Plugin", "asya", f"v{VERSION}")
    (platform,) = about["spec"]["platforms"]
    archive = (dist / "kubectl-asya.tar.gz").read_bytes()
    assert platform["uri"] == f"{URL}/kubectl-asya.tar.gz"
    assert platform["sha256"] == hashlib.sha256(archive).hexdigest()
    with tarfile.open(fileobj=io.BytesIO(archive)) as members:
        names = members.getnames()
        script = members.extractfile("kubectl-asya").read().decode()  # type: ignore[union-attr]
        lock = members.extractfile("requirements.lock").read().decode()  # type: ignore[union-attr]
        assert members.getmember("kubectl-asya").mode == 0o755
    assert set(names) == {"kubectl-asya", "LICENSE", "requirements.lock", f"asya_operator-{VERSION}-py3-none-any.whl"}
    assert "\nkubernetes==" in lock, "the archive lacks the package that reads kubeconfigs"
    checked = subprocess.run(
        [str(Path(sys.executable).parent / "shellcheck"), "-"],
        input=script,
        text=True,
        capture_output=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


def test_the_installed_plugin_runs(dist: Path, tmp_path: Path) -> None:
    """The Python already has the wheel's dependencies, so the test needs no network."""
    with tarfile.open(dist / "kubectl-asya.tar.gz") as members:
        members.extractall(tmp_path / "plugin", filter="data")
    fake = tmp_path / "python"
    fake.write_text(
        "#!/bin/sh\n"
        'if [ "$1" = -c ]; then exit 0; fi\n'
        f'mkdir -p "$3/bin"; printf \'#!/bin/sh\\necho "$@" >> "{tmp_path}/pip.log"\\n\' > "$3/bin/pip"\n'
        'printf \'#!/bin/sh\\necho ran "$@"\\n\' > "$3/bin/kubectl-asya"; chmod 755 "$3"/bin/*\n'
    )
    fake.chmod(0o755)
    link = tmp_path / "kubectl-asya"
    link.symlink_to(tmp_path / "plugin" / "kubectl-asya")  # krew makes such a link
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "ASYA_PYTHON": str(fake)}
    for _ in range(2):
        completed = subprocess.run([str(link), "doctor"], env=environment, text=True, capture_output=True, check=True)
        assert completed.stdout == "ran doctor\n"
    message = (tmp_path / "pip.log").read_text()
    assert message.count("--require-hashes") == 1, "only the first run may install dependencies"
    assert f"asya_operator-{VERSION}-py3-none-any.whl" in message


def test_the_bill_of_materials_has_every_image(dist: Path) -> None:
    made = json.loads((dist / "asya-operator-chart.cdx.json").read_text())
    images = {(part["name"], part["version"]) for part in made["components"]}
    assert images == {
        ("registry.example.com:5000/asya/asya-operator", DIGEST),
        ("ghcr.io/deliveryhero/asya-sidecar", "1.1.3"),
    }
    (own,) = (part for part in made["components"] if part["bom-ref"] == IMAGE)
    assert own["purl"].startswith("pkg:oci/asya-operator@sha256%3Aaaaa")
    assert made["dependencies"] == [{"ref": "chart", "dependsOn": [part["bom-ref"] for part in made["components"]]}]


def test_checksums_cover_every_file_and_are_correct(dist: Path) -> None:
    lines = (dist / "SHA256SUMS").read_text().splitlines()
    assert {line.split("  ")[1] for line in lines} == {file.name for file in dist.iterdir()} - {"SHA256SUMS"}
    checked = subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=dist, check=False)
    assert checked.returncode == 0


@pytest.mark.parametrize(
    ("image", "parts"),
    [
        ("asya-operator:3.0.0", ("asya-operator", "3.0.0", "")),
        ("localhost:5000/a/b:1", ("localhost:5000/a/b", "1", "")),
        (f"localhost:5000/a@{DIGEST}", ("localhost:5000/a", "", DIGEST)),
        (f"a/b:1@{DIGEST}", ("a/b", "1", DIGEST)),
    ],
)
def test_the_parts_of_an_image(image: str, parts: tuple[str, str, str]) -> None:
    assert parts_of(image) == parts
    values = yaml.safe_load(image_values((CHART / "values.yaml").read_text(), image))["image"]
    assert (values["repository"], values["tag"], values["digest"]) == parts


@pytest.mark.parametrize("image", ["", "asya-operator", "localhost:5000/a", "a b:1", "a@sha256:12"])
def test_an_image_without_a_tag_or_digest_is_refused(image: str) -> None:
    with pytest.raises(BadImage, match="IMAGE: must be"):
        parts_of(image)


def test_an_unusable_image_is_refused_with_one_sentence(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "release", "--dist", str(tmp_path), "--image", "asya-operator", "--url", URL]
    completed = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False)
    assert completed.returncode == 2
    assert completed.stderr.splitlines()[-1].endswith(
        "error: IMAGE: must be NAME:TAG or NAME@sha256:DIGEST; found 'asya-operator'"
    )
    assert "Traceback" not in completed.stderr


MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class _Registry(http.server.BaseHTTPRequestHandler):
    """The part of the OCI distribution API that a push needs."""

    blobs: dict[str, bytes]
    manifests: dict[str, bytes]
    protocol_version = "HTTP/1.1"

    def _answer(self, code: int, **headers: str) -> None:
        self.send_response(code)
        for name, value in {"Content_Length": "0", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def do_GET(self) -> None:
        if self.path == "/v2/":
            self._answer(200)
            return
        name = self.path.rpartition("/")[2]
        kept = self.blobs.get(name) or self.manifests.get(name)
        if kept is None:
            self._answer(404)
            return
        kind = json.loads(kept).get("mediaType", MANIFEST) if name in self.manifests else "application/octet-stream"
        digest = f"sha256:{hashlib.sha256(kept).hexdigest()}"
        self._answer(200, Content_Length=str(len(kept)), Content_Type=kind, Docker_Content_Digest=digest)
        if self.command == "GET":
            self.wfile.write(kept)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        self._answer(202, Location=f"{self.path.rstrip('/')}/1")

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        if "/manifests/" in self.path:
            self.manifests |= {self.path.rpartition("/")[2]: body, digest: body}
        else:
            self.blobs[digest] = body
        self._answer(201, Location="/", Docker_Content_Digest=digest)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def registry() -> Iterator[tuple[str, type[_Registry]]]:
    """A registry's address, and the files that were pushed."""
    handler = type("Registry", (_Registry,), {"blobs": {}, "manifests": {}})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_address[1]}", handler
    server.shutdown()


def test_the_chart_can_be_pushed_to_a_registry(dist: Path, registry: tuple[str, type[_Registry]]) -> None:
    address, pushed = registry
    package = dist / f"asya-operator-{VERSION}.tgz"
    Helm().run("push", str(package), f"oci://{address}/charts", "--plain-http")
    manifest = json.loads(pushed.manifests[VERSION])
    assert manifest["config"]["mediaType"] == "application/vnd.cncf.helm.config.v1+json"
    assert package.read_bytes() in pushed.blobs.values()


def test_cluster_install_says_to_which_cluster_it_applies(tmp_path: Path) -> None:
    for tool in ("kubectl", "helm"):
        script = f'#!/bin/sh\n[ "$2" != current-context ] || echo platform-1\necho {tool} "$@" >> {tmp_path}/calls\n'
        (tmp_path / tool).write_text(script)
        (tmp_path / tool).chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    completed = subprocess.run(
        ["make", "cluster-install"], cwd=ROOT, env=environment, text=True, capture_output=True, check=True
    )
    assert completed.stdout.startswith("applying to the context platform-1\n")
    calls = (tmp_path / "calls").read_text()
    assert calls.count("kubectl apply -f -") == 2
    assert "--show-only templates/crd.yaml --show-only templates/rbac.yaml" in calls


# -- the workflow ----------------------------------------------------------------------------------

WORKFLOW = ROOT / ".github" / "workflows" / "release.yml"


def test_the_workflow_gives_each_job_only_the_rights_that_it_needs() -> None:
    made = yaml.safe_load(WORKFLOW.read_text())
    assert made["permissions"] == {}
    for name, job in made["jobs"].items():
        assert job["permissions"]["contents"] == ("write" if name == "files" else "read")
        if name != "test":
            assert job["permissions"]["id-token"] == "write", "signing without a key needs this right"
    text = WORKFLOW.read_text()
    for part in (
        "linux/amd64,linux/arm64",
        "cosign sign --yes",
        "attest-build-provenance",
        "sbom: true",
        "make release",
    ):
        assert part in text
    scripts = [step.get("run", "") for job in made["jobs"].values() for step in job["steps"]]
    assert not [script for script in scripts if "${{" in script], "others control the values of expressions"
