"""The quick start's function is the one that its manifest names, and it runs."""

import importlib
import re
from pathlib import Path

import pytest
import yaml

from tests.harness.clusters import ROOT

PAGE = ROOT / "docs" / "quickstart-actor.md"
MANIFEST = ROOT / "examples" / "rabbitmq-deployment.yaml"


def test_the_manifest_names_the_function_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = re.search(r"```python\n# (\w+)\.py\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert code is not None
    (tmp_path / f"{code[1]}.py").write_text(code[2])
    monkeypatch.syspath_prepend(str(tmp_path))
    container = yaml.safe_load(MANIFEST.read_text())["spec"]["workload"]["template"]["spec"]["containers"][0]
    handler = next(entry["value"] for entry in container["env"] if entry["name"] == "ASYA_HANDLER")
    module, cls, method = handler.split(".")
    assert f"`{handler}`" in PAGE.read_text()
    found = getattr(getattr(importlib.import_module(module), cls)(), method)
    assert found({"text": "hello"})["length"] == 5
