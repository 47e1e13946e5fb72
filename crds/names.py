"""Every name that the operator shares with its users and with itself: groups, labels, annotations.

They are the contract between processes that never import each other, so they stand in one place.
"""

from typing import Final

GROUP: Final = "asya.io"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
KIND: Final = "AsyncActor"
PLURAL: Final = "asyncactors"

LABEL_ACTOR: Final = "asya.io/actor"
"""On a pod template, a Pod or a workload: the AsyncActor of the same namespace to inject for."""

INJECT: Final = "asya.io/inject"
"""Label or annotation; the value ``disabled`` opts out of injection."""
DISABLED: Final = "disabled"

ANNOTATION_INJECTED: Final = "asya.io/injected"
"""On an injected template: what was injected and what was there before, as JSON."""

ANNOTATION_RUNTIME_CONTAINER: Final = "asya.io/runtime-container"
"""On a pod template: the name of the container that holds the user's function."""

ANNOTATION_ACTOR_GENERATION: Final = "asya.io/actor-generation"
"""On an owned workload: the actor's generation that it was made from, so that admission can tell a stale cache."""

ANNOTATION_APPLIED: Final = "asya.io/applied"
"""On an owned object: a digest of what was applied last, so that an unchanged one is not written again."""

ANNOTATION_SCALING: Final = "asya.io/scaling"
"""On an owned workload, the owner of ``spec.replicas``: KEDA (``enabled``), the operator (``disabled``) or nobody."""

ANNOTATION_REPLICAS_BEFORE: Final = "asya.io/replicas-before-scaling"
"""On a borrowed workload while KEDA scales it: the replicas that it had before, which it gets back."""

ANNOTATION_REPLICAS_BEFORE_PAUSE: Final = "asya.io/replicas-before-pause"
"""On an actor that KEDA does not scale and that is paused: the replicas that it had before, which it gets back."""

ANNOTATION_SCRIPT: Final = "asya.io/script"
ANNOTATION_SCRIPT_ORIGIN: Final = "asya.io/script-origin"
"""On the ConfigMap of the operator's own namespace: what stands for its script in every digest."""

FINALIZER: Final = "asya.io/release"
"""On an actor for which something must be undone that no garbage collection undoes: labels, replica counts."""

LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
LABEL_NAME: Final = "app.kubernetes.io/name"
LABEL_INSTANCE: Final = "app.kubernetes.io/instance"
OPERATOR: Final = "asya-operator"
"""Value of ``managed-by``, and the field manager of every server-side apply."""

SIDECAR: Final = "sidecar"
RUNTIME: Final = "runtime"
HOLDER: Final = "asya-socket"
"""The container that holds the socket; its volume is named alike."""
METRICS_PORT: Final = "asya-metrics"
"""Name of the sidecar's port."""
ANNOTATION_LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
"""kubectl's own: the whole manifest once more."""
ANNOTATION_DEFAULT_CONTAINER: Final = "kubectl.kubernetes.io/default-container"
"""kubectl's own: the container that logs and exec mean where none is named."""
SOCKET_VOLUME: Final = "asya-socket"
RUNTIME_VOLUME: Final = "asya-runtime"
RABBITMQ_VOLUME: Final = "asya-rabbitmq"
RUNTIME_CONFIGMAP: Final = "asya-runtime"
KEDA_CONFIGMAP: Final = "asya-keda"
"""KEDA's parameters of all actors of a namespace."""
RUNTIME_KEY: Final = "asya_runtime.py"
RUNTIME_PATH: Final = "/opt/asya/asya_runtime.py"

KEDA_GROUP: Final = "keda.sh"
KEDA_API_VERSION: Final = "keda.sh/v1alpha1"
