"""``python -m cli``: the same as ``asya-operator``."""

from cli.main import app

app(prog_name="asya-operator")
