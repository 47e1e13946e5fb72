"""Prepares the chart for a release: sets its image, and adds annotations for Artifact Hub."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import yaml

REFERENCE = re.compile(
    r"(?P<repository>[^\s@]+?)(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]*))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
SIDECAR = "ghcr.io/deliveryhero/asya-sidecar"


class BadImage(ValueError):
    """A text that is not an image with a tag or digest. The message quotes the text."""


def parts_of(image: str) -> tuple[str, str, str]:
    """Repository, tag and digest of an image. A part that the image lacks is empty.

    Raises:
        BadImage: if the text is not an image with a tag or digest.
    """
    match = REFERENCE.fullmatch(image)
    if match is None or not (match["tag"] or match["digest"]):
        raise BadImage(f"IMAGE: must be NAME:TAG or NAME@sha256:DIGEST; found {image!r}")
    return match["repository"], match["tag"] or "", match["digest"] or ""


def image_values(values: str, image: str) -> str:
    """``values.yaml`` with ``image`` in its first section ``image``. All other lines stay as they are."""
    repository, tag, digest = parts_of(image)
    start = values.index("\nimage:\n") + 1
    end = re.compile(r"^\S", re.MULTILINE).search(values, start + 1)
    assert end is not None, "other sections follow"
    section = values[start : end.start()]
    for key, value in (("repository", repository), ("tag", tag), ("digest", digest)):
        section = re.sub(rf"^  {key}:.*$", f"  {key}: {json.dumps(value)}", section, flags=re.MULTILINE)
    return values[:start] + section + values[end.start() :]


def annotated(chart: str, image: str, changes: str) -> str:
    """``Chart.yaml`` with annotations for Artifact Hub, https://artifacthub.io/docs/topics/annotations/helm/"""
    chart_object: dict[str, Any] = yaml.safe_load(chart)
    entries = [" ".join(entry.split()) for entry in re.split(r"^- ", changes, flags=re.MULTILINE)[1:]]
    chart_object["annotations"] = {
        **(chart_object.get("annotations") or {}),
        "artifacthub.io/images": yaml.safe_dump([{"name": "asya-operator", "image": image}], sort_keys=False),
        "artifacthub.io/changes": yaml.safe_dump(
            [{"kind": "changed", "description": entry} for entry in entries], sort_keys=False, width=10_000
        ),
    }
    return yaml.safe_dump(chart_object, sort_keys=False)


def sbom(package: Path, version: str, manifest: str) -> str:
    """The chart's bill of materials as CycloneDX: the images that it runs."""
    images = sorted(set(re.findall(r"^\s*image: (\S+)$", manifest, re.MULTILINE)))
    images += sorted(set(re.findall(rf"value: ({re.escape(SIDECAR)}\S+)$", manifest, re.MULTILINE)))
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": "chart",
                "name": "asya-operator",
                "version": version,
                "purl": f"pkg:helm/asya-operator@{version}",
                "licenses": [{"license": {"id": "Apache-2.0"}}],
                "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(package.read_bytes()).hexdigest()}],
            }
        },
        "components": [_component(image) for image in images],
        "dependencies": [{"ref": "chart", "dependsOn": images}],
    }
    return json.dumps(bill, indent=2) + "\n"


def _component(image: str) -> dict[str, str]:
    repository, tag, digest = parts_of(image)
    kind = {"type": "container", "bom-ref": image}
    return {**kind, "name": repository, "version": digest or tag, "purl": _purl(image)}


def _purl(image: str) -> str:
    repository, tag, digest = parts_of(image)
    name = repository.rpartition("/")[2]
    version = f"@{digest.replace(':', '%3A')}" if digest else ""
    return f"pkg:oci/{name}{version}?repository_url={repository}" + (f"&tag={tag}" if tag else "")
