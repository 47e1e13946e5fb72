"""Fetches an asset of a GitHub release: through a proxy, with a certificate authority of its own, with a token.

The token is sent to its own host only, never to the target of a redirect. A redirect must stay on https.
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
MAX_DESCRIPTION_BYTES = 4 * 1024 * 1024
"""The most bytes that are read of the API's description of a release."""


class NoAsset(OSError):
    """The release has no such asset, or the token's file is empty."""


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
    """How to reach a GitHub server. The files are read for each request, so they can be replaced."""

    proxy: str = ""
    """URL of an HTTP proxy; empty: the environment's."""
    authorities: Path | None = None
    """PEM file with certificates to trust, in addition to the system's."""
    token: Path | None = None
    """File with a token."""

    def open(self, url: str, headers: Mapping[str, str], timeout: float) -> Any:
        """The response to a GET request. Follows redirects.

        Args:
            url: the URL.
            headers: headers of the request.
            timeout: in seconds.

        Raises:
            OSError: if the server cannot be reached or answers with an error.
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
        """The download URL of a release's asset.

        Without a token this is a URL of the release's page. With a token it comes from the API, because a private
        repository has no other.

        Raises:
            OSError: if the API cannot be reached, or names no such asset.
        """
        latest = version in ("", "latest")
        if self.token is None:
            release = "latest/download" if latest else f"download/{version}"
            return f"{base}/{repo}/releases/{release}/{name}"
        api = "https://api.github.com" if base == PUBLIC else f"{base}/api/v3"
        url = f"{api}/repos/{repo}/releases/" + ("latest" if latest else f"tags/{quote(version, safe='')}")
        with self.open(
            url, {"User-Agent": "asya-operator", "Accept": "application/vnd.github+json"}, timeout
        ) as response:
            description = json.loads(response.read(MAX_DESCRIPTION_BYTES))
        assets = description.get("assets") if isinstance(description, dict) else None
        for asset in assets or ():
            if asset.get("name") == name and str(asset.get("url", "")).startswith(f"{api}/"):
                return str(asset["url"])
        raise NoAsset(f"{url}: the release has no asset {name}")


def access(env: Mapping[str, str]) -> Access:
    """The access that the environment variables ``ASYA_RUNTIME_GITHUB_*`` describe.

    Raises:
        InvalidSetting: if one of them is not valid.
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
