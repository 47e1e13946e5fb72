"""How a process finds the API server, in a pod and outside."""

import gc
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kube import credentials
from kube.credentials import NoCluster, in_cluster, load_configuration
from tests.harness.clusters import ROOT
from webhook import server
from webhook.loads import Loads

ENVIRONMENT = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}


@pytest.fixture
def account(tmp_path: Path) -> Path:
    (tmp_path / "token").write_text("first\n")
    (tmp_path / "ca.crt").write_text("unread until a connection is made")
    return tmp_path


def test_a_pod_uses_its_service_account(account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = in_cluster(ENVIRONMENT, account)
    assert result.host == "https://10.0.0.1:443"
    assert result.headers() == {"Authorization": "Bearer first"}
    (account / "token").write_text("second")
    assert result.headers() == {"Authorization": "Bearer first"}, "the token is read for each request"
    monkeypatch.setattr(credentials, "TOKEN_SECONDS", -1.0)
    assert result.headers() == {"Authorization": "Bearer second"}
    (account / "token").unlink()
    assert result.headers() == {"Authorization": "Bearer second"}, "a failed read must keep the last token"
    options = result.pool(7).connection_pool_kw
    assert (options["maxsize"], options["cert_reqs"]) == (7, "CERT_REQUIRED")
    assert options["ca_certs"] == str(account / "ca.crt")


def test_an_ipv6_address_is_in_brackets(account: Path) -> None:
    assert in_cluster({**ENVIRONMENT, "KUBERNETES_SERVICE_HOST": "fd00::1"}, account).host == "https://[fd00::1]:443"


@pytest.mark.parametrize("missing", ["token", "ca.crt"])
def test_missing_files_are_named(account: Path, missing: str) -> None:
    (account / missing).unlink()
    with pytest.raises(NoCluster, match=missing):
        in_cluster(ENVIRONMENT, account)
    with pytest.raises(NoCluster, match="KUBERNETES_SERVICE_HOST"):
        in_cluster({}, account)


def test_an_invalid_kubeconfig_is_named(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("[]")
    with pytest.raises(NoCluster, match="config is not a kubeconfig"):
        load_configuration(str(tmp_path / "config"))
    cluster = {"server": "https://127.0.0.1:1", "certificate-authority-data": "abc"}
    parts = {"clusters": [{"name": "c", "cluster": cluster}], "users": [{"name": "u", "user": {}}]}
    contexts = [{"name": "c", "context": {"cluster": "c", "user": "u"}}]
    (tmp_path / "config").write_text(json.dumps({"current-context": "c", "contexts": contexts, **parts}))
    with pytest.raises(NoCluster, match="config is not a kubeconfig: Incorrect padding"):
        load_configuration(str(tmp_path / "config"))
    with pytest.raises(NoCluster, match="Invalid kube-config file"):
        load_configuration(str(tmp_path / "nothing"))


def test_each_new_worker_gets_the_credentials_of_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """If they cannot be read, it gets the last ones, and the webhook goes on."""
    application: Any = server._Gunicorn.__new__(server._Gunicorn)
    application._options, application.loads = server.Options(kubeconfig="config"), Loads(3)
    configurations: Any = {"config": "first"}

    def load(kubeconfig: str) -> Any:
        if kubeconfig not in configurations:
            raise NoCluster(f"{kubeconfig} is missing")
        return configurations[kubeconfig]

    monkeypatch.setattr(server, "load_configuration", load)
    given = []
    for now in ({"config": "first"}, {"config": "second"}, {}):
        configurations = now
        application._pre_fork(SimpleNamespace(WORKERS={}), SimpleNamespace())
        given.append(application._configuration)
    gc.unfreeze()
    assert given == ["first", "second", "second"]


def test_neither_process_imports_the_official_client() -> None:
    """It uses 40 MB in each process, and the image lacks it."""
    script = "import sys, controller.process, webhook.server, webhook.app, webhook.actors, cli.release, certs.keeper\n"
    script += "sys.exit('kubernetes' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 0


def test_without_the_official_client_a_kubeconfig_is_an_error_of_one_sentence(tmp_path: Path) -> None:
    """The operator's image has no such client."""
    script = "import sys; sys.modules['kubernetes'] = None; from cli.main import app; app()"
    command = [sys.executable, "-c", script, "status", "a", "--kubeconfig", str(tmp_path / "config")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: no cluster to connect to: a kubeconfig needs the package `kubernetes`")
    assert "Traceback" not in done.stderr
