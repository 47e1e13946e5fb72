"""Golden files: ``NAME.yaml`` goes in, ``NAME.injected.yaml`` comes out, or ``NAME.message.txt`` says why not.

They are documentation as much as tests: read a pair to see what injection does. ``make golden`` writes the
outcomes anew; look at the difference before you commit it.
"""

from dataclasses import dataclass
from pathlib import Path

from cli.offline import Offline
from files.reading import Document, read, split
from injection.settings import SidecarDefaults

FOLDER = Path(__file__).parent
ACTORS = FOLDER / "actors.yaml"
SCRIPT = FOLDER / "script.txt"


@dataclass(frozen=True)
class Case:
    """One input and where its outcome is."""

    name: str

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


def offline() -> Offline:
    """A cluster that knows the actors."""
    made = Offline(SidecarDefaults(), SCRIPT.read_text())
    made.add_actors(read([str(ACTORS)]))
    assert not made.errors, made.errors
    return made


def injected(documents: list[Document]) -> tuple[str, list[str]]:
    """The text of ``documents`` after injection, and why some of it was denied."""
    known = offline()
    text = "".join(known.inject(d).whole for d in documents)
    return text, [e.partition(": ")[2] for e in known.errors]


def uninjected(text: str) -> str:
    """``text`` with the injection taken out."""
    return "".join(Offline.uninject(d).whole for d in split(text))


def outcome(case: Case) -> tuple[Path, str]:
    """Where the outcome of ``case`` belongs, and the outcome."""
    text, errors = injected(split(case.source.read_text()))
    return (case.message, "\n".join(errors) + "\n") if errors else (case.injected, text)
