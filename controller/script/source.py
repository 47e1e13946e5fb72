"""The source of the runtime script: a file, or an asset of a GitHub release.

The source is read at intervals. A script that is too large for a ConfigMap or is not valid Python is refused. The last
good script stays in use.
"""

import ast
import hashlib
import random
import threading
import urllib.error
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import lru_cache
from http.client import HTTPException
from pathlib import Path

from controller.script.github import PUBLIC, Access, access
from injection.settings import InvalidSetting
from runtime import SCRIPT
from telemetry import threads
from telemetry.logs import log
from telemetry.metrics.controller import RUNTIME_LOADS

MAX_BYTES = 1024 * 1024
"""The largest ConfigMap: https://kubernetes.io/docs/concepts/configuration/configmap/"""
ASSET = "asya_runtime.py"
STILL_SECONDS = 0.3
"""Seconds without a change after which a file counts as completely written."""
FIRST_RETRY_SECONDS = 1.0
REFRESH_SECONDS = 300.0
TIMEOUT_SECONDS = 15.0


class BadScript(ValueError):
    """The script cannot be read or used; the message says why."""


def check(content: bytes, origin: str) -> str:
    """The script in ``content``, which was read from ``origin``.

    Raises:
        BadScript: if the script is empty, too large, not UTF-8, or not valid Python.
    """
    if not content.strip():
        raise BadScript(f"{origin}: is empty")
    if len(content) > MAX_BYTES - 4096:
        raise BadScript(f"{origin}: has {len(content)} bytes or more, which is more than a ConfigMap holds (1 MiB)")
    try:
        text = content.decode()
        ast.parse(text)
    except (UnicodeDecodeError, SyntaxError, ValueError) as error:
        raise BadScript(f"{origin}: is not valid Python: {error}") from None
    return text


class Source(ABC):
    """A script that may change. Calls ``on_change`` when the script or the problem changes."""

    def __init__(self, origin: str, on_change: Callable[[], None]) -> None:
        self.origin, self._on_change = origin, on_change
        self._stopped = threading.Event()
        self._loaded: bytes | None = None
        self.script: str | None = None
        """The last good script."""
        self.problem = ""
        """Why the last load failed; empty if it succeeded."""

    @property
    def identity(self) -> str:
        """A text that changes when the settings name another script."""
        return self.origin

    @property
    def how_to_pin(self) -> str:
        """How to pin the source's current script; empty if it is pinned, or if the operator must take each change."""
        return ""

    @abstractmethod
    def fetch(self) -> bytes | None:
        """The script's bytes; None if they have not changed since the last call.

        Raises:
            BadScript: if the script cannot be read.
        """

    @abstractmethod
    def pause(self) -> float:
        """Seconds until the next :meth:`load`."""

    def start(self) -> None:
        """Load the script, then start a thread that loads it again at intervals."""
        self.load()
        threads.start("runtime-source", self._run)

    def stop(self) -> None:
        """Stop the thread."""
        self._stopped.set()

    def load(self) -> bool:
        """Fetch and check the script; returns whether the script or the problem changed."""
        try:
            content = self.fetch()
            if content is None or (content == self._loaded and not self.problem):
                return self._record_unchanged()
            script = check(content, self.origin)
        except BadScript as bad:
            return self._record_failure(str(bad))
        changed = script != self.script or bool(self.problem)
        self._loaded, self.script, self.problem = content, script, ""
        RUNTIME_LOADS.labels("success").inc()
        log.info("runtime_loaded", origin=self.origin, bytes=len(content))
        return changed

    def _record_unchanged(self) -> bool:
        """Note that the script is the same as before; returns whether the source has recovered from a failure."""
        has_recovered = bool(self.problem) and self.script is not None
        if has_recovered:
            self.problem = ""
        return has_recovered

    def _record_failure(self, problem: str) -> bool:
        """Note that a load failed; returns whether the problem is a new one."""
        changed = problem != self.problem
        self.problem = problem
        RUNTIME_LOADS.labels("failure").inc()
        if changed:
            log.warning("runtime_refused", origin=self.origin, problem=problem)
        return changed

    def _run(self) -> None:
        while not self._stopped.wait(self.pause()):
            if self.load():
                self._on_change()


class LocalSource(Source):
    """A file that is read every ``interval`` seconds."""

    def __init__(self, path: Path, on_change: Callable[[], None], interval: float = 1.0) -> None:
        super().__init__(str(path), on_change)
        self._path, self._interval = path, interval

    def fetch(self) -> bytes | None:
        """The file's bytes, once they stop changing: half of a file that is being written may be valid Python too.

        Raises:
            BadScript: if the file cannot be read.
        """
        content = self._read()
        while self._loaded is not None and content != self._loaded:
            self._stopped.wait(STILL_SECONDS)
            before, content = content, self._read()
            if content == before:
                break
        return content

    def _read(self) -> bytes:
        try:
            return self._path.read_bytes()
        except OSError as error:
            raise BadScript(f"{self._path}: cannot be read: {error.strerror}") from None

    def pause(self) -> float:
        """The interval in seconds."""
        return self._interval


class GithubSource(Source):
    """The asset ``asya_runtime.py`` of a release, requested at intervals with its ETag.

    ``access`` names the proxy and the certificate authorities. Without it, those of the environment apply
    (``HTTPS_PROXY``, ``SSL_CERT_FILE``).
    """

    def __init__(
        self,
        repo: str,
        version: str,
        on_change: Callable[[], None],
        *,
        sha256: str = "",
        base: str = PUBLIC,
        access: Access | None = None,
    ) -> None:
        self._base, self._repo, self._version = base.rstrip("/"), repo, version
        page = Access().asset(self._base, repo, version, ASSET, TIMEOUT_SECONDS)
        super().__init__(page, on_change)
        self._access = access or Access()
        self._sha256, self._etag, self._failures = sha256.lower(), "", 0

    @property
    def identity(self) -> str:
        """The asset's URL, and its checksum if the settings have one."""
        return f"{self.origin}#{self._sha256}" if self._sha256 else self.origin

    @property
    def how_to_pin(self) -> str:
        """The settings to add. Without a version and a checksum, a new or replaced release changes the script."""
        if self._sha256 and self._version not in ("", "latest"):
            return ""
        checksum = _checksum(self.script or "")
        version = "runtime.github.version to the tag of a release, and " if self._version in ("", "latest") else ""
        return f"set {version}runtime.github.sha256 to {checksum}"

    def fetch(self) -> bytes | None:
        """The asset; None if the server says that it has not changed.

        Raises:
            BadScript: if the asset cannot be fetched or used.
        """
        try:
            content = self._request()
        except BadScript:
            self._failures += 1
            raise
        self._failures = 0
        return content

    def pause(self) -> float:
        """Seconds until the next request, with jitter: REFRESH_SECONDS, or a growing backoff after failures."""
        seconds = REFRESH_SECONDS
        if self.problem or self._failures:
            seconds = min(REFRESH_SECONDS, FIRST_RETRY_SECONDS * 2.0 ** min(max(self._failures, 1) - 1, 20))
        return seconds * random.uniform(0.8, 1.2)

    def _request(self) -> bytes | None:
        headers = {"User-Agent": "asya-operator", "Accept": "application/octet-stream"}
        if self._etag and self.script is not None:
            headers["If-None-Match"] = self._etag
        try:
            url = self._access.asset(self._base, self._repo, self._version, ASSET, TIMEOUT_SECONDS)
            with self._access.open(url, headers, TIMEOUT_SECONDS) as response:
                content = bytes(response.read(MAX_BYTES))
                length, etag = response.headers.get("Content-Length"), response.headers.get("ETag", "")
        except urllib.error.HTTPError as error:
            if error.code == 304:
                return None
            raise BadScript(f"{self.origin}: the server answered {error.code} {error.reason}") from None
        except (OSError, HTTPException, ValueError) as error:
            raise BadScript(f"{self.origin}: cannot be fetched: {error}") from None
        if length is not None and length.isdecimal() and len(content) < min(int(length), MAX_BYTES):
            raise BadScript(f"{self.origin}: the connection broke off after {len(content)} of {length} bytes")
        checksum = hashlib.sha256(content).hexdigest()
        if self._sha256 and checksum != self._sha256:
            raise BadScript(f"{self.origin}: has the SHA-256 {checksum}, not {self._sha256}")
        check(content, self.origin)  # before the ETag is stored: a bad script must be fetched again
        self._etag = etag
        return content


@lru_cache(maxsize=4)  # each reconcile needs it, usually for the same script
def _checksum(script: str) -> str:
    return hashlib.sha256(script.encode()).hexdigest()


def from_environment(env: Mapping[str, str], on_change: Callable[[], None]) -> Source:
    """The source that the environment variables ``ASYA_RUNTIME_*`` name.

    Raises:
        InvalidSetting: if one of them is not valid.
    """
    source = env.get("ASYA_RUNTIME_SOURCE") or "local"
    if source == "local":
        return LocalSource(Path(env.get("ASYA_RUNTIME_LOCAL_PATH") or SCRIPT), on_change)
    if source != "github":
        raise InvalidSetting(f"ASYA_RUNTIME_SOURCE: must be local or github; found {source!r}")
    repo = env.get("ASYA_RUNTIME_GITHUB_REPO", "")
    if repo.count("/") != 1 or not all(repo.split("/")):
        raise InvalidSetting(f"ASYA_RUNTIME_GITHUB_REPO: must be owner/name; found {repo!r}")
    base = env.get("ASYA_RUNTIME_GITHUB_URL") or PUBLIC
    if not base.startswith("https://"):
        raise InvalidSetting(f"ASYA_RUNTIME_GITHUB_URL: must be an https:// URL; found {base!r}")
    sha256 = env.get("ASYA_RUNTIME_SHA256", "")
    if sha256 and (len(sha256) != 64 or not all(c in "0123456789abcdefABCDEF" for c in sha256)):
        raise InvalidSetting(f"ASYA_RUNTIME_SHA256: must be 64 hexadecimal digits; found {sha256!r}")
    version = env.get("ASYA_RUNTIME_VERSION", "")
    return GithubSource(repo, version, on_change, sha256=sha256, base=base, access=access(env))
