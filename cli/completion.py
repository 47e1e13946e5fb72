"""Completion of commands and actors' names, for shells and for kubectl.

kubectl completes ``kubectl asya …`` with the program ``kubectl_complete-asya`` on the PATH. The program prints one
candidate per line, then a directive, as cobra does. The scripts for shells use the same output.
https://kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins/
"""

import sys
from collections.abc import Iterator
from typing import Annotated, Any, Final

import typer

from cli.broker import complete_actor
from cli.connection import fail

NO_FILES: Final = 4
"""Cobra's directive for shells: do not complete files."""
FILES: Final = 0
"""Cobra's directive for shells: complete files."""
ACTORS: Final = ("actor", "name")
"""Names of the arguments that take an actor's name."""
Candidate = tuple[str, str]
"""A word, and a short explanation."""

BASH: Final = """\
_@ID@() {
  local line
  COMPREPLY=()
  while IFS= read -r line; do
    case $line in :*) ;; *) COMPREPLY+=("${line%%$'\\t'*}") ;; esac
  done < <(@PROGRAM@ complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -F _@ID@ @PROGRAM@
"""
ZSH: Final = """\
#compdef @PROGRAM@
_@ID@() {
  local -a candidates
  local line
  for line in "${(@f)$(@PROGRAM@ complete -- "${words[@]:1:$((CURRENT - 1))}" 2>/dev/null)}"; do
    [[ $line == :* ]] || candidates+=("${line//$'\\t'/:}")
  done
  if (( ${#candidates} )); then _describe '@PROGRAM@' candidates; else _files; fi
}
compdef _@ID@ @PROGRAM@
"""
FISH: Final = """\
function __@ID@
  set -l words (commandline -opc) (commandline -ct)
  @PROGRAM@ complete -- $words[2..-1] 2>/dev/null | string match --invert ':*'
end
complete -c @PROGRAM@ -a '(__@ID@)'
"""
KUBECTL: Final = """\
#!/bin/sh
# Save it as kubectl_complete-asya in a directory of the PATH, and make it executable.
exec kubectl-asya complete -- "$@"
"""
SCRIPTS: Final = {"bash": BASH, "zsh": ZSH, "fish": FISH, "kubectl": KUBECTL}


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""

    @app.command()
    def completion(
        shell: Annotated[str, typer.Argument(help="bash, zsh or fish; kubectl for `kubectl asya`.")],
        program: Annotated[str, typer.Option(help="Name of the program to complete.")] = "asya-operator",
    ) -> None:
        """Print the script that completes commands and the names of actors in a shell."""
        if shell not in SCRIPTS:
            fail(f"SHELL: must be {', '.join(SCRIPTS)}; found {shell!r}", 2)
        identifier = program.replace("-", "_")
        typer.echo(SCRIPTS[shell].replace("@PROGRAM@", program).replace("@ID@", identifier), nl=False)

    @app.command(hidden=True)
    def complete(words: Annotated[list[str] | None, typer.Argument()] = None) -> None:
        """Print the candidates for the last word."""
        _print_candidates(app, words or [""])


def main() -> None:
    """Run the program ``kubectl_complete-asya``."""
    from cli.main import app

    _print_candidates(app, sys.argv[1:] or [""])


def _print_candidates(app: typer.Typer, words: list[str]) -> None:
    candidates = candidates_of(app, words)
    for word, explanation in candidates:
        typer.echo(f"{word}\t{explanation}" if explanation else word)
    typer.echo(f":{NO_FILES if candidates else FILES}")


def candidates_of(app: typer.Typer, words: list[str]) -> list[Candidate]:
    """The candidates for the last of ``words``. Empty: none are known, and files may be completed."""
    *before, incomplete = words
    command: Any = typer.main.get_command(app)
    arguments = 0
    expects_value = False
    for word in before:
        if expects_value:
            expects_value = False
        elif word.startswith("-") and word != "-":
            option = _option(command, word)
            expects_value = option is not None and "=" not in word and not getattr(option, "is_flag", False)
        elif word in getattr(command, "commands", {}):
            command, arguments = command.commands[word], 0
        else:
            arguments += 1
    if expects_value:
        return []
    if incomplete.startswith("-"):
        return [c for c in _options(command) if c[0].startswith(incomplete)]
    if hasattr(command, "commands"):
        visible = {name: c for name, c in command.commands.items() if not c.hidden}
        return [(name, _first_sentence(c.help)) for name, c in sorted(visible.items()) if name.startswith(incomplete)]
    names = [p.name for p in command.params if p.param_type_name == "argument"]
    if arguments < len(names) and names[arguments] in ACTORS:
        return [(name, "") for name in complete_actor(incomplete)]
    return []


def _option(command: Any, word: str) -> Any:
    name = word.partition("=")[0]
    return next((p for p in command.params if name in (*p.opts, *p.secondary_opts)), None)


def _options(command: Any) -> Iterator[Candidate]:
    for parameter in command.params:
        if parameter.param_type_name == "option" and not getattr(parameter, "hidden", False):
            long = next((name for name in parameter.opts if name.startswith("--")), parameter.opts[0])
            yield long, _first_sentence(getattr(parameter, "help", ""))


def _first_sentence(text: str | None) -> str:
    return (text or "").split("\n")[0].partition(". ")[0].rstrip(".")
