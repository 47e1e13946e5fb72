"""Generated files in the repository are current."""

import re

from cli.manual import DOCS, PAGES
from crds.generate import CHART, CHART_WEBHOOKS, REFERENCE, ROOT, WEBHOOKS, reference, with_generated, with_version
from crds.manifest import MANIFEST, manifest, rendered, structural
from crds.names import ANNOTATION_INJECTED, GROUP, LABEL_ACTOR, PLURAL
from injection.kinds import KINDS
from webhook.configuration import configurations


def test_the_manifest_is_generated_from_the_models() -> None:
    assert MANIFEST.read_text() == rendered(), "run `make generate`"


def test_the_chart_has_the_webhook_configurations_of_the_code() -> None:
    assert CHART_WEBHOOKS.read_text() == WEBHOOKS.read_text(), "run `make generate`"


def test_the_webhook_configuration_covers_exactly_the_injected_kinds() -> None:
    mutating, validating = configurations({"url": ""}, excluded_namespaces=[], match_conditions=True)
    rules = mutating["webhooks"][0]["rules"]
    assert [(group, resource) for r in rules for group in r["apiGroups"] for resource in r["resources"]] == [*KINDS]
    labelled = [{"key": LABEL_ACTOR, "operator": "Exists"}]
    assert mutating["webhooks"][0]["objectSelector"]["matchExpressions"] == labelled
    assert f"'{ANNOTATION_INJECTED}' in object" in mutating["webhooks"][0]["matchConditions"][0]["expression"]
    rule = validating["webhooks"][0]["rules"][0]
    assert (rule["apiGroups"], rule["resources"]) == ([GROUP], [PLURAL])


def test_the_pages_of_the_manual_are_generated_from_the_code() -> None:
    assert REFERENCE.read_text() == with_generated(REFERENCE.read_text(), reference()), "run `make generate`"
    for name, make in PAGES.items():
        page = (DOCS / name).read_text()
        assert page == with_generated(page, make()), "run `make generate`"
        assert page.count("\n| `") > 15


def test_the_version_is_the_same_everywhere_and_in_the_changelog() -> None:
    chart = (CHART / "Chart.yaml").read_text()
    assert chart == with_version(chart), "run `make generate`"
    version = re.findall(r"^version: (.*)$", chart, re.MULTILINE)[0]
    assert f"## {version}\n" in (ROOT / "CHANGELOG.md").read_text()


def test_every_field_is_described_and_typed() -> None:
    spec = manifest()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]

    def walk(schema: dict[str, object], path: str) -> None:
        for name, child in (schema.get("properties") or {}).items():  # type: ignore[attr-defined]
            if name in ("limits", "requests", "metadata", "spec") or path.endswith(".env"):
                continue  # fields of Kubernetes itself
            assert child.get("description"), f"{path}.{name}"
            assert child.get("type"), f"{path}.{name}"
            walk(child, f"{path}.{name}")

    walk(spec, "spec")


def test_a_structural_schema_has_no_references() -> None:
    assert "$ref" not in rendered()
    assert structural({"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}, {}) == {"type": "string"}
