"""A move to another release name and namespace, as the page on upgrading describes it."""

import os
import shlex
import subprocess

import pytest

from kube.resources import DEPLOYMENTS
from release.binaries import binary
from tests.docs.test_transcripts import steps
from tests.harness.clusters import ROOT, start_sandbox
from tests.harness.helm import CHART, Helm, HelmError


def test_another_release_takes_over_the_definition(tmp_path_factory: pytest.TempPathFactory) -> None:
    cluster = start_sandbox(tmp_path_factory.mktemp("moving"))
    try:
        old, new = Helm(cluster.kubeconfig), Helm(cluster.kubeconfig, "platform")
        old.install({"uninstall": {"release": False}})
        old.uninstall()
        install = "upgrade", "--install", "actors", str(CHART), "--create-namespace"
        with pytest.raises(HelmError, match="invalid ownership metadata"):
            new.run(*install)
        annotate, documented = steps("another release", "docs/upgrading.md")
        environment = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig)}
        subprocess.run([str(binary("kubectl")), *shlex.split(annotate)[1:]], env=environment, check=True, cwd=ROOT)
        assert shlex.split(documented)[1:4] == list(install[:3])
        new.run(*install)
        assert cluster.client().get(DEPLOYMENTS, "platform", "asya-operator-webhook") is not None
    finally:
        cluster.stop()
