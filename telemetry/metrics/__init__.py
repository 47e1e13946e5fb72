"""The operator's metrics, one module for each process that may export them.

``telemetry.metrics.webhook`` belongs to the webhook, ``telemetry.metrics.controller`` to the controller, and
``telemetry.metrics.shared`` to both. A process imports its own module and the shared one, never the other's:
a metric exists as soon as its module is imported, and a gauge that nobody sets exports 0, which an alert reads
as a fact. An import contract holds this.

Names follow https://prometheus.io/docs/practices/naming/: base units, ``_total`` for counters, and the process as
the second word. The manual's table is generated from :func:`telemetry.metrics.describe.described`.
"""

from importlib.metadata import version


def build_version() -> str:
    """The installed operator's version."""
    return version("asya-operator")
