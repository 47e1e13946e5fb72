"""``python -m cli``: the same as ``asya-operator``."""

import sys


def main() -> None:
    """Run the command line. A process of the operator imports no other command."""
    if sys.argv[1:2] in (["controller"], ["webhook"]):
        from cli import processes

        processes.run()
    else:
        from cli.main import app

        app(prog_name="asya-operator")


if __name__ == "__main__":
    main()
