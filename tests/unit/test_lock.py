"""The locked dependencies are the project's, each with its hashes."""

import re
import tomllib

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.harness.clusters import ROOT

LOCKED = re.compile(r"^([a-z0-9._-]+)==([^ ;]+)(?: ;[^\\]*)?\s*\\\n((?:    --hash=sha256:[0-9a-f]{64}.*\n)+)", re.M)


def locked(file: str) -> dict[str, str]:
    text = (ROOT / file).read_text()
    matches: dict[str, str] = {canonicalize_name(name): version for name, version, _ in LOCKED.findall(text)}
    assert len(matches) == len(re.findall(r"^[a-z0-9]", text, re.M)), "a requirement has no hashes"
    return matches


def test_every_dependency_is_locked_at_a_suitable_version() -> None:
    versions = locked("requirements.lock")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for requirement in map(Requirement, project["dependencies"]):
        version = versions[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement}: locked at {version}; run make lock"


def test_the_image_has_the_same_versions_but_not_the_official_client() -> None:
    """The plugin needs this client to read a kubeconfig, so its archive has the whole lock."""
    image, everything = locked("image.lock"), locked("requirements.lock")
    assert image.items() <= everything.items()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    direct = {canonicalize_name(Requirement(text).name) for text in project["dependencies"]}
    assert direct - set(image) == {"kubernetes"}
