"""Golden files: ``NAME.yaml`` goes in, ``NAME.injected.yaml`` comes out, or ``NAME.message.txt`` says why not.

They are documentation as much as tests: read a pair to see what injection does. ``make golden`` writes the
outcomes anew; look at the difference before you commit it. Those whose name begins as in ``SETTINGS`` are for an
operator or a cluster that is set so.
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
"""By the beginnings of names."""


@dataclass(frozen=True)
class Case:
    """One input and where its outcome is."""

    name: str

    @property
    def defaults(self) -> SidecarDefaults:
        """The operator's settings."""
        return next((s for name, s in SETTINGS.items() if self.name.startswith(name)), SidecarDefaults())

    @property
    def source(self) -> Path:
        """What goes in."""
        return FOLDER / f"{self.name}.yaml"

    @property
    def injected(self) -> Path:
        """What comes out."""
        return FOLDER / f"{self.name}.injected.yaml"

    @property
    def message(self) -> Path:
        """Why nothing does."""
        return FOLDER / f"{self.name}.message.txt"


CASES = [Case(p.stem) for p in sorted(FOLDER.glob("*.yaml")) if p != ACTORS and not p.stem.endswith(".injected")]


def offline(defaults: SidecarDefaults | None = None) -> Offline:
    """A cluster that knows the actors."""
    made = Offline(defaults or SidecarDefaults(), SCRIPT.read_text())
    made.add_actors(read([str(ACTORS)]))
    assert not made.errors, made.errors
    return made


def injected(documents: list[Document], defaults: SidecarDefaults | None = None) -> tuple[str, list[str]]:
    """The text of ``documents`` after injection, and why some of it was denied."""
    known = offline(defaults)
    text = "".join(known.inject(d).whole for d in documents)
    return text, [e.partition(": ")[2] for e in known.errors]


def uninjected(text: str) -> str:
    """``text`` with the injection taken out."""
    return "".join(Offline.uninject(d).whole for d in split(text))


def outcome(case: Case) -> tuple[Path, str]:
    """Where the outcome of ``case`` belongs, and the outcome."""
    text, errors = injected(split(case.source.read_text()), case.defaults)
    return (case.message, "\n".join(errors) + "\n") if errors else (case.injected, text)
