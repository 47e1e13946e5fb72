"""The operator's metrics, in one module per process.

``telemetry.metrics.webhook`` belongs to the webhook, ``telemetry.metrics.controller`` to the controller, and
``telemetry.metrics.shared`` to both. A process must not import the other's module. An imported metric exists, and an
unset gauge exports 0, which would mislead alerts. An import contract enforces this.

Names follow https://prometheus.io/docs/practices/naming/: base units, ``_total`` for counters, and the process as
the second word. :func:`telemetry.metrics.describe.described` feeds the manual's table.
"""

from importlib.metadata import version


def build_version() -> str:
    """Return the version of the installed operator."""
    return version("asya-operator")
