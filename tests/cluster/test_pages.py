"""Lists in pages, as an API server serves them: ``limit`` and ``continue``."""

from typing import Any

import pytest

from kube import client as kube_client
from kube.failures import ApiError
from kube.objects import Object
from kube.resources import CONFIG_MAPS
from tests.cluster.shapes import config_map
from tests.harness.space import Space


def page(space: Space, **query: Any) -> tuple[list[str], Object]:
    answer: Object = space.client.request("GET", CONFIG_MAPS.path(space.name), query={"labelSelector": "page", **query})
    return [obj["metadata"]["name"] for obj in answer["items"]], answer["metadata"]


def make(space: Space, *names: str) -> None:
    for name in names:
        obj = config_map(name)
        obj["metadata"]["labels"] = {"page": ""}
        space.create_object(obj)


def test_all_pages_show_the_list_at_the_first_request(bare: Space) -> None:
    make(bare, "a", "b", "c", "d", "e")
    names, first = page(bare, limit=2)
    assert names == ["a", "b"]
    make(bare, "bb", "z")
    bare.delete("ConfigMap", "d")
    names, second = page(bare, limit=2, **{"continue": first["continue"]})
    assert names == ["c", "d"]
    assert second["resourceVersion"] == first["resourceVersion"]
    names, last = page(bare, limit=2, **{"continue": second["continue"]})
    assert names == ["e"]
    assert not last.get("continue")
    assert page(bare)[0] == ["a", "b", "bb", "c", "e", "z"]
    assert not page(bare, limit=6)[1].get("continue"), "there is an empty last page"


def test_the_client_reads_all_pages(bare: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    make(bare, "a", "b", "c", "d", "e")
    monkeypatch.setattr(kube_client, "PAGE", 2)
    objects = bare.client.list(CONFIG_MAPS, bare.name, labelSelector="page")
    assert [obj["metadata"]["name"] for obj in objects] == ["a", "b", "c", "d", "e"]


def test_an_unknown_page_is_refused(bare: Space) -> None:
    with pytest.raises(ApiError) as caught:
        page(bare, limit=2, **{"continue": "nonsense"})
    assert caught.value.code in (400, 410)
