"""The keeper of the webhook's certificate, on a cluster where others also publish and store certificates."""

import base64
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest

from certs.authority import create_authority, issue
from certs.keeper import Keeper
from certs.rotation import Policy, State, advance
from certs.settings import Settings
from kube.client import Client
from kube.objects import Object
from kube.resources import EVENTS, SECRETS
from tests.harness.clusters import start_sandbox, wait_for
from tests.harness.operator import NAMESPACE, NAMESPACES, WEBHOOKS
from webhook.configuration import configurations

SETTINGS = Settings("self", NAMESPACE, "cert", "asya-operator", ["webhook"], Policy(overlap=timedelta(seconds=1)))
OTHER = create_authority("somebody-else", timedelta(days=1))


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A sandbox."""
    made = start_sandbox(tmp_path_factory.mktemp("certificates"))
    yield made
    made.stop()


@pytest.fixture
def client(api: Any) -> Client:
    """A client of a cluster without a Secret, whose webhook configurations trust no CA."""
    made: Client = api.client()
    made.apply(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}, manager="test")
    for name in (SETTINGS.secret, SETTINGS.authority):
        made.delete(SECRETS, NAMESPACE, name)
    publish(made, b"")
    return made


def publish(client: Client, ca: bytes) -> None:
    """Install the webhook configurations again, with ``ca`` as the trusted CA."""
    config = {"url": "https://127.0.0.1:1"} | ({"caBundle": base64.b64encode(ca).decode()} if ca else {})
    for obj in configurations(config, excluded_namespaces=[], match_conditions=False):
        client.delete(WEBHOOKS[obj["kind"]], "", "asya-operator")
        client.create(WEBHOOKS[obj["kind"]], obj)


def bundle(client: Client) -> bytes:
    """The CA bundle of the mutating configuration."""
    obj = client.get(WEBHOOKS["MutatingWebhookConfiguration"], "", "asya-operator")
    assert obj is not None
    return base64.b64decode(obj["webhooks"][0]["clientConfig"].get("caBundle") or "")


def store(client: Client, data: dict[str, str], **annotations: str) -> None:
    """Store a Secret."""
    metadata = {"name": SETTINGS.secret, "namespace": NAMESPACE, "annotations": annotations}
    client.create(SECRETS, {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data})


def served(client: Client) -> dict[str, str]:
    """The Secret that the webhook can read."""
    obj = client.get(SECRETS, NAMESPACE, SETTINGS.secret) or {}
    data: dict[str, str] = obj.get("data") or {}
    return data


def kept(client: Client) -> State | None:
    """The state in the Secret that only controllers can read."""
    obj = client.get(SECRETS, NAMESPACE, SETTINGS.authority) or {}
    return State.from_secret(obj.get("data") or {})


@contextmanager
def keeping(client: Client, *, leading: bool) -> Iterator[Keeper]:
    """A running keeper."""
    keeper = Keeper(client, SETTINGS, lambda: leading)
    keeper.start()
    try:
        yield keeper
    finally:
        keeper.stop()
        for informer in keeper.informers:
            informer.stop()


def test_a_keeper_publishes_a_stored_ca_without_leading_if_none_is_published(client: Client) -> None:
    state = advance(None, SETTINGS.names, SETTINGS.policy, 0.0, published=False)
    store(client, state.to_secret())
    with keeping(client, leading=False):
        wait_for("the bundle", lambda: bundle(client) == state.bundle, 10)
        publish(client, OTHER.certificate)
        threading.Event().wait(1.5)
        assert bundle(client) == OTHER.certificate, "only the leader may change a published bundle"


def test_another_ca_stays_trusted_while_its_certificate_is_served(client: Client) -> None:
    publish(client, OTHER.certificate)
    order: list[str] = []
    with keeping(client, leading=True):

        def secret() -> Object | None:
            obj = client.get(SECRETS, NAMESPACE, SETTINGS.secret)
            trusted = bundle(client)
            if not obj:
                order.append("published" if trusted.count(b"BEGIN") == 2 else "waiting")
                assert OTHER.certificate in trusted
            return obj

        obj = wait_for("the Secret", secret, 15)
        assert obj
        stored = kept(client)
        assert stored is not None
        assert "published" in order, "the new CA must be published before it is stored"
        wait_for("the other to be dropped", lambda: bundle(client) == stored.authority.certificate, 15)


def test_a_secret_of_cert_manager_does_not_change(client: Client) -> None:
    serving = issue(OTHER, ["webhook"], timedelta(days=1))
    data = {"tls.crt": base64.b64encode(serving.certificate).decode()}
    store(client, data, **{"cert-manager.io/certificate-name": "asya-operator-webhook"})
    publish(client, OTHER.certificate)
    with keeping(client, leading=True):
        message = wait_for(
            "the Event", lambda: [e for e in client.list(EVENTS, NAMESPACE) if e["reason"] == "SecretOfCertManager"], 10
        )
        assert "Set certs.secretName to another name" in message[0]["message"]
        obj = client.get(SECRETS, NAMESPACE, SETTINGS.secret)
        assert obj is not None
        assert obj["data"] == data
        assert bundle(client) == OTHER.certificate


# -- two Secrets -------------------------------------------------------------------------------------


@pytest.mark.parametrize("following", [False, True])
def test_the_ca_key_moves_out_of_the_secret_that_the_webhook_reads(client: Client, following: bool) -> None:
    """An upgrade starts with one Secret that has everything. CA and certificate do not change."""
    now = time.time()
    state = replace(advance(None, SETTINGS.names, SETTINGS.policy, now, published=False), since=now + 3600)
    if following:
        state = replace(state, following=create_authority("next", timedelta(days=1)))
    store(client, state.to_secret())
    with keeping(client, leading=True):
        wait_for("the split", lambda: set(served(client)) == {"tls.crt", "tls.key", "ca.crt"}, 10)
        assert served(client) == state.served()
        assert kept(client) == state
        wait_for("the bundle", lambda: bundle(client) == state.bundle, 10)
        message = wait_for(
            "the Event", lambda: [e for e in client.list(EVENTS, NAMESPACE) if e["reason"] == "CertificateCaKeyMoved"]
        )
        assert "ca key moved" in message[0]["message"]


def test_a_deleted_secret_is_restored_unchanged(client: Client) -> None:
    with keeping(client, leading=True):
        state = cast(State, wait_for("the state", lambda: kept(client), 10))
        wait_for("the certificate", lambda: served(client) == state.served(), 10)
        for name in (SETTINGS.authority, SETTINGS.secret):
            client.delete(SECRETS, NAMESPACE, name)
            wait_for("its return", lambda: kept(client) == state and served(client) == state.served(), 10)
    client.delete(SECRETS, NAMESPACE, SETTINGS.secret)
    with keeping(client, leading=True):  # another controller, which has no memory of it, restores it too
        wait_for("its return", lambda: served(client) == state.served(), 10)
        assert kept(client) == state


def test_a_controller_continues_after_a_stop_between_the_two_writes(client: Client) -> None:
    now = time.time()
    before = replace(advance(None, SETTINGS.names, SETTINGS.policy, now, published=False), since=now + 3600)
    after = replace(before, serving=issue(before.authority, SETTINGS.names, timedelta(days=1)))
    store(client, before.served())
    metadata = {"name": SETTINGS.authority, "namespace": NAMESPACE}
    client.create(SECRETS, {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": after.to_secret()})
    with keeping(client, leading=True):
        wait_for("the later one", lambda: served(client) == after.served(), 10)
        assert kept(client) == after


def test_at_rest_nothing_is_written(client: Client) -> None:
    with keeping(client, leading=True):
        state = cast(State, wait_for("the state", lambda: kept(client), 10))
        wait_for("the certificate", lambda: served(client) == state.served(), 10)

        def versions() -> list[str]:
            live = [client.get(SECRETS, NAMESPACE, name) for name in (SETTINGS.secret, SETTINGS.authority)]
            return [obj["metadata"]["resourceVersion"] for obj in live if obj]

        before = versions()
        client.merge_patch(SECRETS, NAMESPACE, SETTINGS.secret, {"metadata": {"labels": {"somebody": "else"}}})
        threading.Event().wait(1.0)
        assert versions()[1] == before[1]
        assert int(versions()[0]) >= int(before[0])


def test_a_contested_ca_is_reported(client: Client) -> None:
    resource = WEBHOOKS["MutatingWebhookConfiguration"]

    def remove_bundle() -> list[Object]:
        obj = client.get(resource, "", "asya-operator") or {}
        for hook in obj["webhooks"]:
            hook["clientConfig"].pop("caBundle", None)
        client.merge_patch(resource, "", "asya-operator", {"webhooks": obj["webhooks"]})
        return [e for e in client.list(EVENTS, NAMESPACE) if e["reason"] == "Contested"]

    with keeping(client, leading=True):
        (event,) = wait_for("the Event", remove_bundle, 20)
        assert "another writer keeps changing the MutatingWebhookConfiguration 'asya-operator'" in event["message"]
        assert "--show-managed-fields" in event["message"]
