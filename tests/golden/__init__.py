"""Golden files: ``NAME.yaml`` is the input.

``NAME.injected.yaml`` is the result, or ``NAME.message.txt`` is the reason for a denial. A pair also documents what
injection does. ``make golden`` writes the results again; read the difference before you commit it. Names that start as
in ``SETTINGS`` are for an operator or a cluster with these settings.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cli.offline import Offline
from files.reading import Document, read, split
from injection.settings import SidecarDefaults

FOLDER = Path(__file__).parent
ACTORS = FOLDER / "actors.yaml"
SCRIPT = FOLDER / "script.txt"


SETTINGS: Mapping[str, SidecarDefaults] = {
    "kubernetes-1-28": SidecarDefaults(native_sidecars=False),
    "denied-kubernetes-1-28": SidecarDefaults(native_sidecars=False),
    "no-holder": SidecarDefaults(socket_activation=False),
}
"""Settings by the start of names."""


@dataclass(frozen=True)
class Case:
    """One input and its result."""

    name: str

    @property
    def defaults(self) -> SidecarDefaults:
        """The operator's settings."""
        return next((s for name, s in SETTINGS.items() if self.name.startswith(name)), SidecarDefaults())

    @property
    def source(self) -> Path:
        """The input."""
        return FOLDER / f"{self.name}.yaml"

    @property
    def injected(self) -> Path:
        """The result."""
        return FOLDER / f"{self.name}.injected.yaml"

    @property
    def message(self) -> Path:
        """The reason for a denial."""
        return FOLDER / f"{self.name}.message.txt"


CASES = [Case(p.stem) for p in sorted(FOLDER.glob("*.yaml")) if p != ACTORS and not p.stem.endswith(".injected")]


def offline(defaults: SidecarDefaults | None = None) -> Offline:
    """A cluster that knows the actors."""
    made = Offline(defaults or SidecarDefaults(), SCRIPT.read_text())
    made.add_actors(read([str(ACTORS)]))
    assert not made.errors, made.errors
    return made


def injected(documents: list[Document], defaults: SidecarDefaults | None = None) -> tuple[str, list[str]]:
    """The text of ``documents`` after injection, and the denials."""
    known = offline(defaults)
    text = "".join(known.inject(d).whole for d in documents)
    return text, [e.partition(": ")[2] for e in known.errors]


def uninjected(text: str) -> str:
    """``text`` without its injection."""
    return "".join(Offline.uninject(d).whole for d in split(text))


def outcome(case: Case) -> tuple[Path, str]:
    """The file for the result of ``case``, and the result."""
    text, errors = injected(split(case.source.read_text()), case.defaults)
    return (case.message, "\n".join(errors) + "\n") if errors else (case.injected, text)
