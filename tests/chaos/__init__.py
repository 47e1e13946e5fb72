"""Faults, load and hostile input. CI runs a short form; ``make chaos`` runs everything (``CHAOS=full``)."""

import os

FULL = os.environ.get("CHAOS") == "full"
