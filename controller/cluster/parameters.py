"""KEDA's parameters that are not secret: the ConfigMap ``asya-keda`` of each namespace.

Its entries are named by parameter and value, so all actors with the same user name share an entry, and a new actor
usually writes nothing. One ConfigMap with a fixed name serves all actors, so the operator needs the right to ConfigMaps
of two names only. An entry stays while an actor needs it or a TriggerAuthentication refers to it. The ConfigMap is
deleted with its last entry.
"""

from typing import Any

from controller.cluster.access import Cluster, Locks
from controller.rules import status
from controller.rules.desired import with_digest
from controller.rules.status import Verdict
from crds.names import ANNOTATION_APPLIED, KEDA_CONFIGMAP, LABEL_MANAGED_BY, LABEL_NAME, OPERATOR
from injection.inject import map_of
from kube.objects import Object

Entries = dict[str, str]


class Parameters:
    """Writes the entries. Safe to use from several threads."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster, self._locks = cluster, Locks()
        self._needed: dict[str, dict[str, Entries]] = {}
        """By namespace and actor: the entries of the actors that this process reconciled."""

    def put(self, namespace: str, actor: str, entries: Entries) -> Verdict | None:
        """Make ``entries`` all that ``actor`` needs: add those that are missing, and drop those that nobody needs.

        Returns:
            None, or a verdict if the operator does not own the ConfigMap.

        Raises:
            ApiError: if the ConfigMap cannot be read or written.
        """
        with self._locks[namespace]:
            needed = self._need(namespace, actor, entries)
            keda = self._cluster.keda
            if keda is None:
                return None
            informer = keda.parameters
            live = informer.get(namespace, KEDA_CONFIGMAP)
            if live is None and entries:
                live = self._cluster.get(informer, namespace, KEDA_CONFIGMAP)
            if live is not None and map_of(live, "labels").get(LABEL_MANAGED_BY) != OPERATOR:
                return status.scaler_not_owned("ConfigMap", KEDA_CONFIGMAP) if entries else None
            # After a restart, the operator does not know yet which entries its actors need. Orphaned
            # TriggerAuthentications belong to no actor, and those of an older release refer to entries of other names.
            kept = {
                key: value
                for key, value in _data(live).items()
                if key not in needed and keda.references.has(namespace, key)
            }
            merged = {**kept, **needed}
            if merged:
                self._cluster.ensure(informer, live, parameters_map(namespace, merged))
            elif live is not None:
                self._cluster.delete(informer, live)
        return None

    def _need(self, namespace: str, actor: str, entries: Entries) -> Entries:
        """Remember what ``actor`` needs; returns what all actors of the namespace need."""
        actors = self._needed.setdefault(namespace, {})
        if entries:
            actors[actor] = entries
        else:
            actors.pop(actor, None)
        if not actors:
            del self._needed[namespace]
        return {key: value for own in actors.values() for key, value in own.items()}


def parameters_map(namespace: str, entries: Entries) -> Object:
    """The ConfigMap with the parameters of a namespace's actors."""
    labels = {LABEL_NAME: KEDA_CONFIGMAP, LABEL_MANAGED_BY: OPERATOR}
    metadata = {"name": KEDA_CONFIGMAP, "namespace": namespace, "labels": labels}
    return with_digest({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": entries})


def is_intact(config_map: Object) -> bool:
    """Whether the ConfigMap has no drift: its entries are those that the operator applied last."""
    applied = parameters_map(config_map["metadata"]["namespace"], _data(config_map))["metadata"]["annotations"]
    return bool(applied[ANNOTATION_APPLIED] == map_of(config_map, "annotations").get(ANNOTATION_APPLIED))


def _data(config_map: Object | None) -> dict[str, Any]:
    return (config_map or {}).get("data") or {}
