"""The locked dependencies are those of the project, each with its hashes."""

import re
import tomllib

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.harness.clusters import ROOT

LOCKED = re.compile(r"^([a-z0-9._-]+)==([^ ;]+)(?: ;[^\\]*)?\s*\\\n((?:    --hash=sha256:[0-9a-f]{64}.*\n)+)", re.M)


def test_every_dependency_is_locked_at_a_version_that_fits() -> None:
    text = (ROOT / "requirements.lock").read_text()
    locked = {canonicalize_name(name): version for name, version, _ in LOCKED.findall(text)}
    assert len(locked) == len(re.findall(r"^[a-z0-9]", text, re.M)), "each has its hashes"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "kubernetes" not in locked, "which the image does not need"
    for requirement in map(Requirement, project["dependencies"]):
        if requirement.name == "kubernetes":
            continue
        version = locked[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement}: locked at {version}; run make lock"
