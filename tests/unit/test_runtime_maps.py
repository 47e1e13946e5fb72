"""The script of a new controller while its source has none."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from controller.cluster.runtime_maps import RuntimeMaps
from controller.rules.desired import runtime_config_map
from crds.names import RUNTIME_KEY
from injection.plan import script_hash
from kube.objects import Object

SCRIPT = "print('good')\n"


class Held:
    """A cluster with the ConfigMap of one namespace. It records writes to others."""

    def __init__(self, stored: Object | None) -> None:
        self.stored, self.written = stored, list[Object]()
        self.config_maps = self
        self.is_synced = True

    def get(self, *where: Any) -> Object | None:
        return self.stored if "home" in where else None

    def ensure(self, _informer: Any, _live: Any, wanted: Object) -> None:
        self.written.append(wanted)


def maps(held: Held, script: str | None = None, problem: str = "no answer") -> RuntimeMaps:
    source = SimpleNamespace(script=script, problem=problem, how_to_pin="", identity="local", origin="local")
    return RuntimeMaps(cast(Any, held), cast(Any, source), "home")


def test_the_stored_script_is_the_last_good_one() -> None:
    held = Held(runtime_config_map("home", SCRIPT))
    verdict = maps(held).ensure("new")
    assert (verdict.status, verdict.reason) == ("False", "RuntimeSourceFailed")
    assert held.written == [runtime_config_map("new", SCRIPT)]
    assert maps(held).script == script_hash(SCRIPT)


def test_the_sources_script_overrides_the_stored_one() -> None:
    held = Held(runtime_config_map("home", SCRIPT))
    assert maps(held, "print()\n", "").ensure("new").status == "True"
    assert held.written == [runtime_config_map("new", "print()\n")]


@pytest.mark.parametrize("data", [{RUNTIME_KEY: "import evil\n"}, {}, None])
def test_a_changed_config_map_is_not_copied(data: Object | None) -> None:
    held = Held({**runtime_config_map("home", SCRIPT), "data": data})
    verdict = maps(held).ensure("new")
    assert verdict.reason == "RuntimeUnavailable"
    assert "no answer" in verdict.message
    assert held.written == []
    assert maps(held).script == script_hash(SCRIPT), "admission still uses the annotation, so no rollout may start"


def test_no_stored_script() -> None:
    assert maps(Held(None)).ensure("new").reason == "RuntimeUnavailable"
    assert maps(Held(None)).script == ""


def test_an_unpinned_release_changes_only_with_the_settings() -> None:
    source = SimpleNamespace(script="print(1)\n", problem="", how_to_pin="set x", identity="url", origin="url")
    held = Held(None)
    kept = RuntimeMaps(cast(Any, held), cast(Any, source), "home")
    verdict = kept.ensure("a")
    assert (verdict.status, verdict.reason) == ("True", "RuntimeNotPinned")
    assert verdict.message.endswith("set x")
    assert held.written == [runtime_config_map("a", "print(1)\n", "url")]
    source.script = "print(2)\n"
    assert "the source has a different one now, which the operator does not take by itself" in kept.ensure("a").message
    assert kept.script == script_hash("print(1)\n")
    # Not by a restart of the controller either, only by another setting.
    after = Held(runtime_config_map("home", "print(1)\n", "url"))
    assert RuntimeMaps(cast(Any, after), cast(Any, source), "home").script == script_hash("print(1)\n")
    source.identity = "another url"
    assert RuntimeMaps(cast(Any, after), cast(Any, source), "home").script == script_hash("print(2)\n")
