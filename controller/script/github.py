"""How a release's asset is fetched: through a proxy, with an authority of one's own, with a token for a private one.

A token goes to the host that it is for and never along with a redirect, and no redirect leaves https.
"""

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPMessage
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, urlsplit

from injection.settings import InvalidSetting

PUBLIC = "https://github.com"
LARGEST_ANSWER = 4 * 1024 * 1024
"""Bytes of a release as the API tells it."""


class NoAsset(OSError):
    """The release has no such asset, or there is no token to ask with."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        if urlsplit(newurl).scheme != "https":
            message = f"is redirected to {newurl}, which is not https"
            raise urllib.error.HTTPError(req.full_url, code, message, headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@dataclass(frozen=True)
class Access:
    """What it takes to reach a GitHub server."""

    proxy: str = ""
    """URL of an HTTP proxy; that of the environment if empty."""
    authorities: Path | None = None
    """File with certificates to trust beside the system's, PEM; read anew each time."""
    token: Path | None = None
    """File with a token, read anew each time."""

    def open(self, url: str, headers: Mapping[str, str], timeout: float) -> Any:
        """The response to a GET, redirects followed.

        Raises:
            OSError: if it cannot be had.
        """
        context = ssl.create_default_context()
        if self.authorities is not None:
            context.load_verify_locations(self.authorities)
        proxies = {"https": self.proxy} if self.proxy else None
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler(proxies), urllib.request.HTTPSHandler(context=context), _Redirects()
        )
        request = urllib.request.Request(url, headers=dict(headers))
        if self.token is not None:
            request.add_unredirected_header("Authorization", f"Bearer {self._token()}")
        return opener.open(request, timeout=timeout)

    def _token(self) -> str:
        assert self.token is not None
        token = self.token.read_text().strip()
        if not token or not token.isprintable():
            raise NoAsset(f"{self.token} holds no token")
        return token

    def asset(self, base: str, repo: str, version: str, name: str, timeout: float) -> str:
        """The URL of a release's asset: of its page, or with a token of the API, which alone knows private ones.

        Raises:
            OSError: if the API has none.
        """
        latest = version in ("", "latest")
        if self.token is None:
            release = "latest/download" if latest else f"download/{version}"
            return f"{base}/{repo}/releases/{release}/{name}"
        api = "https://api.github.com" if base == PUBLIC else f"{base}/api/v3"
        url = f"{api}/repos/{repo}/releases/" + ("latest" if latest else f"tags/{quote(version, safe='')}")
        with self.open(
            url, {"User-Agent": "asya-operator", "Accept": "application/vnd.github+json"}, timeout
        ) as answer:
            parsed = json.loads(answer.read(LARGEST_ANSWER))
        assets = parsed.get("assets") if isinstance(parsed, dict) else None
        for asset in assets or ():
            if asset.get("name") == name and str(asset.get("url", "")).startswith(f"{api}/"):
                return str(asset["url"])
        raise NoAsset(f"{url}: the release has no asset {name}")


def access(env: Mapping[str, str]) -> Access:
    """What ``ASYA_RUNTIME_GITHUB_*`` name.

    Raises:
        InvalidSetting: if it cannot be used.
    """
    proxy = env.get("ASYA_RUNTIME_GITHUB_PROXY", "")
    if proxy and not (urlsplit(proxy).scheme in ("http", "https") and urlsplit(proxy).hostname):
        message = "must be the URL of an HTTP proxy, such as http://proxy.example.com:3128"
        raise InvalidSetting(f"ASYA_RUNTIME_GITHUB_PROXY: {message}; found {proxy!r}")
    files = []
    for name in ("ASYA_RUNTIME_GITHUB_CA", "ASYA_RUNTIME_GITHUB_TOKEN_FILE"):
        path = Path(env[name]) if env.get(name) else None
        if path is not None and not path.is_file():
            raise InvalidSetting(f"{name}: there is no file {path}; mount it, or leave the variable out")
        files.append(path)
    return Access(proxy, *files)
