"""A release's asset through a proxy, with the user's own CA and token, and never without https."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controller.script.github import Access, access
from controller.script.source import GithubSource
from injection.settings import InvalidSetting
from tests.harness.github import GOOD, GitHub


@pytest.fixture
def github(tmp_path: Path) -> Iterator[GitHub]:
    server = GitHub(tmp_path / "ca.pem")
    yield server
    server.close()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)


def source(github: GitHub, **options: Any) -> GithubSource:
    given = Access(authorities=github.certificate_file, **options)
    return GithubSource("owner/name", "v1", lambda: None, base=github.url, access=given)


def test_a_users_own_ca(github: GitHub) -> None:
    one = source(github)
    one.load()
    assert one.script == GOOD.decode()
    without = GithubSource("owner/name", "v1", lambda: None, base=github.url)
    without.load()
    assert "certificate" in without.problem.lower()


class Proxy:
    """An HTTP proxy that makes tunnels, and records their targets."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url, self.targets = f"http://127.0.0.1:{self._server.getsockname()[1]}", list[str]()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            client, _ = self._server.accept()
            threading.Thread(target=self._tunnel, args=(client,), daemon=True).start()

    def _tunnel(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(4096)
        self.targets.append(head.split()[1].decode())
        host, _, port = self.targets[-1].rpartition(":")
        there = socket.create_connection((host, int(port)))
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        threading.Thread(target=self._copy, args=(there, client), daemon=True).start()
        self._copy(client, there)

    @staticmethod
    def _copy(one: socket.socket, other: socket.socket) -> None:
        try:
            while data := one.recv(65536):
                other.sendall(data)
        except OSError:
            pass


def test_through_a_proxy(github: GitHub) -> None:
    proxy = Proxy()
    one = source(github, proxy=proxy.url)
    one.load()
    assert one.script == GOOD.decode()
    assert proxy.targets == [github.url.removeprefix("https://")]


def test_a_token_is_sent_to_the_api_and_not_to_redirects(github: GitHub, tmp_path: Path) -> None:
    github.token, github.redirect = "ghp_secret", f"{github.url}/elsewhere"
    (tmp_path / "token").write_text("wrong\n")
    one = source(github, token=tmp_path / "token")
    one.load()
    assert "404" in one.problem
    assert "wrong" not in one.problem
    (tmp_path / "token").write_text("ghp_secret\n")  # the Secret changed, without a restart
    github.paths.clear()
    github.tokens.clear()
    one.load()
    assert one.script == GOOD.decode()
    assert github.paths[-3:] == [
        "/api/v3/repos/owner/name/releases/tags/v1",
        "/api/v3/repos/owner/name/releases/assets/7",
        "/elsewhere",
    ]
    assert github.tokens[-3:] == ["Bearer ghp_secret", "Bearer ghp_secret", None]


def test_no_redirect_leaves_https(github: GitHub) -> None:
    github.redirect = "http://127.0.0.1:1/elsewhere"
    one = source(github)
    one.load()
    assert one.script is None
    assert "not https" in one.problem


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ASYA_RUNTIME_GITHUB_PROXY", "proxy:3128"),
        ("ASYA_RUNTIME_GITHUB_CA", "/nonexistent/ca.crt"),
        ("ASYA_RUNTIME_GITHUB_TOKEN_FILE", "/nonexistent/token"),
    ],
)
def test_wrong_settings_are_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(InvalidSetting, match=name):
        access({name: value})


def test_the_public_server_has_another_api_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    urls = list[str]()

    def opened(self: Access, url: str, headers: Any, timeout: float) -> Any:
        urls.append(url)
        raise OSError("no")

    monkeypatch.setattr(Access, "open", opened)
    with pytest.raises(OSError, match="no"):
        Access(token=tmp_path).asset("https://github.com", "o/r", "", "a", 1)
    assert urls == ["https://api.github.com/repos/o/r/releases/latest"]
    assert Access().asset("https://github.com", "o/r", "v1", "a", 1) == "https://github.com/o/r/releases/download/v1/a"
