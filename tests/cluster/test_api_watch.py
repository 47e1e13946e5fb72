"""Watches, lists and tables of the API; on every tier."""

import threading
import time

import orjson
import pytest
import urllib3

from kube import resources
from kube.client import Client
from kube.objects import Object
from tests.cluster.shapes import WIDGETS, config_map, deployment, widget
from tests.harness.clusters import Cluster
from tests.harness.space import Space


def watch_events(client: Client, path: str, version: str, seconds: int = 3, **query: str) -> list[Object]:
    response = client.request(
        "GET",
        path,
        query={"watch": "true", "resourceVersion": version, "timeoutSeconds": seconds, **query},
        stream=True,
        timeout=urllib3.Timeout(connect=2, read=seconds + 5),
    )
    data = b"".join(response.stream())
    return [orjson.loads(line) for line in data.splitlines() if line]


def test_a_watch_reports_every_change_after_a_version_and_ends_on_time(bare: Space) -> None:
    bare.create_object(config_map("before"))
    path = resources.CONFIG_MAPS.path(bare.name)
    version = bare.client.request("GET", path)["metadata"]["resourceVersion"]

    def change() -> None:
        bare.create_object(config_map("a", k="1"))
        bare.patch("ConfigMap", "a", {"data": {"k": "2"}})
        bare.delete("ConfigMap", "a")

    changer = threading.Timer(0.3, change)
    changer.start()
    started = time.monotonic()
    events = watch_events(bare.client, path, version, fieldSelector="metadata.name=a")
    changer.join()
    assert [e["type"] for e in events] == ["ADDED", "MODIFIED", "DELETED"]
    versions = [int(e["object"]["metadata"]["resourceVersion"]) for e in events]
    assert versions == sorted(set(versions))
    assert versions[0] > int(version)
    assert 2 < time.monotonic() - started < 6


def test_a_watch_by_label_reports_objects_that_enter_and_leave(bare: Space) -> None:
    bare.create_object(config_map("a"))
    path = resources.CONFIG_MAPS.path(bare.name)
    version = bare.client.request("GET", path)["metadata"]["resourceVersion"]
    bare.patch("ConfigMap", "a", {"metadata": {"labels": {"x": "1"}}})
    bare.patch("ConfigMap", "a", {"metadata": {"labels": {"x": None}}})
    events = watch_events(bare.client, path, version, 1, labelSelector="x")
    assert [e["type"] for e in events] == ["ADDED", "DELETED"]
    # An object that leaves has its last selected state, with the version of the change.
    added, deleted = (e["object"]["metadata"] for e in events)
    assert deleted["labels"] == {"x": "1"}
    assert int(deleted["resourceVersion"]) > int(added["resourceVersion"])


def test_bookmarks_bring_a_newer_version(widgets: Space, cluster: Cluster) -> None:
    if cluster.real:
        pytest.skip("a real API server sends them about once a minute")
    path = WIDGETS.path(widgets.name)
    version = widgets.client.request("GET", path)["metadata"]["resourceVersion"]
    events = watch_events(widgets.client, path, version, 1, allowWatchBookmarks="true")
    assert {e["type"] for e in events} == {"BOOKMARK"}
    assert int(events[0]["object"]["metadata"]["resourceVersion"]) >= int(version)


def test_a_list_has_its_kind_and_a_version(bare: Space) -> None:
    answer = bare.client.request("GET", resources.DEPLOYMENTS.path(bare.name))
    assert answer["kind"] == "DeploymentList"
    assert int(answer["metadata"]["resourceVersion"]) > 0


def test_elements_of_custom_lists_have_a_kind_and_those_of_built_in_lists_do_not(widgets: Space) -> None:
    widgets.apply(deployment("a"))
    widgets.create_object(widget("a"))
    (built_in,) = widgets.client.list(resources.DEPLOYMENTS, widgets.name)
    assert "kind" not in built_in
    (custom,) = widgets.client.list(WIDGETS, widgets.name)
    assert custom["kind"] == "Widget"


def test_tables_have_the_printer_columns(widgets: Space) -> None:
    widgets.create_object(widget("a", size=5))
    assert widgets.table("Widget") == (["Name", "Size"], [["a", 5]])
