"""Where the API server is and as whom to speak to it, as Kubernetes' own tools find it out."""

from pathlib import Path

import kubernetes.client
import kubernetes.config
import yaml

UNREADABLE = (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError, AttributeError)
"""What the official client raises for a file that is no kubeconfig."""


def load_configuration(kubeconfig: str | None = None) -> kubernetes.client.Configuration:
    """Credentials: those of ``kubeconfig`` if given, else the pod's own, else ``KUBECONFIG``'s.

    Raises:
        kubernetes.config.ConfigException: if there are none, or what there is is no kubeconfig.
    """
    configuration = kubernetes.client.Configuration()
    if kubeconfig is None and Path("/var/run/secrets/kubernetes.io/serviceaccount/token").exists():
        kubernetes.config.load_incluster_config(client_configuration=configuration)
    else:
        try:
            kubernetes.config.load_kube_config(config_file=kubeconfig, client_configuration=configuration)
        except UNREADABLE as error:
            named = kubeconfig or "$KUBECONFIG"
            raise kubernetes.config.ConfigException(f"{named} is no kubeconfig: {error}") from error
    return configuration
