"""Where the runtime script comes from: a file that is looked at, or an asset of a GitHub release.

A script that is too large for a ConfigMap or is not Python is refused, and the last good one stays.
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

import structlog

from controller.script.github import PUBLIC, Access, access
from injection.settings import InvalidSetting
from runtime import SCRIPT
from telemetry import threads
from telemetry.metrics.controller import RUNTIME_LOADS

log = structlog.get_logger(__name__)

MAX_BYTES = 1024 * 1024
"""What a ConfigMap holds: https://kubernetes.io/docs/concepts/configuration/configmap/"""
ASSET = "asya_runtime.py"
STILL_SECONDS = 0.3
"""A file that is the same after so long is not being written."""
FIRST_RETRY_SECONDS = 1.0
REFRESH_SECONDS = 300.0
TIMEOUT_SECONDS = 15.0


class BadScript(ValueError):
    """A script that cannot be had or used; the message says why and what to do."""


def check(data: bytes, origin: str) -> str:
    """The script in ``data``, read from ``origin``.

    Raises:
        BadScript: if it is too large, empty, not text, or not Python.
    """
    if not data.strip():
        raise BadScript(f"{origin}: is empty")
    if len(data) > MAX_BYTES - 4096:
        raise BadScript(f"{origin}: has {len(data)} bytes or more, which is more than a ConfigMap holds (1 MiB)")
    try:
        text = data.decode()
        ast.parse(text)
    except (UnicodeDecodeError, SyntaxError, ValueError) as error:
        raise BadScript(f"{origin}: is not valid Python: {error}") from None
    return text


class Source(ABC):
    """A script that may change; ``on_change`` is called when it, or what is wrong with it, does."""

    def __init__(self, origin: str, on_change: Callable[[], None]) -> None:
        self.origin, self._on_change = origin, on_change
        self._stopped = threading.Event()
        self._loaded: bytes | None = None
        self.script: str | None = None
        """The last good script."""
        self.problem = ""
        """Why the latest one was refused, or an empty string."""

    @property
    def identity(self) -> str:
        """What the settings name, in words: another text once they name something else."""
        return self.origin

    @property
    def moves_to(self) -> str:
        """How to take another script from here on purpose, where one is not to be taken by itself; else empty."""
        return ""

    @abstractmethod
    def fetch(self) -> bytes | None:
        """The script's bytes; None if they are known to be the same as last time.

        Raises:
            BadScript: if they cannot be had.
        """

    @abstractmethod
    def pause(self) -> float:
        """Seconds until the next :meth:`load`."""

    def start(self) -> None:
        """Load the script, and go on looking for another on a thread."""
        self.load()
        threads.start("runtime-source", self._run)

    def stop(self) -> None:
        """Stop looking."""
        self._stopped.set()

    def load(self) -> bool:
        """Fetch and check the script; whether anything changed."""
        try:
            data = self.fetch()
            if data is None or (data == self._loaded and not self.problem):
                return self._well()
            script = check(data, self.origin)
        except BadScript as bad:
            return self._ill(str(bad))
        changed = script != self.script or bool(self.problem)
        self._loaded, self.script, self.problem = data, script, ""
        RUNTIME_LOADS.labels("success").inc()
        log.info("runtime_loaded", origin=self.origin, bytes=len(data))
        return changed

    def _well(self) -> bool:
        """The source is as it was; if it had failed since, it has recovered."""
        recovered = bool(self.problem) and self.script is not None
        if recovered:
            self.problem = ""
        return recovered

    def _ill(self, problem: str) -> bool:
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
    """A file, looked at every ``interval`` seconds."""

    def __init__(self, path: Path, on_change: Callable[[], None], interval: float = 1.0) -> None:
        super().__init__(str(path), on_change)
        self._path, self._interval = path, interval

    def fetch(self) -> bytes | None:
        """The file's bytes, once they hold still: half of what is being written may be valid Python too."""
        data = self._read()
        while self._loaded is not None and data != self._loaded:
            self._stopped.wait(STILL_SECONDS)
            before, data = data, self._read()
            if data == before:
                break
        return data

    def _read(self) -> bytes:
        try:
            return self._path.read_bytes()
        except OSError as error:
            raise BadScript(f"{self._path}: cannot be read: {error.strerror}") from None

    def pause(self) -> float:
        """The interval."""
        return self._interval


class GithubSource(Source):
    """The asset ``asya_runtime.py`` of a release, asked for anew now and then by its ETag.

    Proxies and certificate authorities are those of ``access``, else of the environment (``HTTPS_PROXY``,
    ``SSL_CERT_FILE``).
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
        """The asset, and its checksum if there is one."""
        return f"{self.origin}#{self._sha256}" if self._sha256 else self.origin

    @property
    def moves_to(self) -> str:
        """Which release is meant, only a version and a checksum tell: one can be published or replaced at any time."""
        if self._sha256 and self._version not in ("", "latest"):
            return ""
        checksum = _checksum(self.script or "")
        version = "runtime.github.version to the tag of a release, and " if self._version in ("", "latest") else ""
        return f"set {version}runtime.github.sha256 to {checksum}"

    def fetch(self) -> bytes | None:
        """The asset; None if the server says that it has not changed."""
        try:
            data = self._request()
        except BadScript:
            self._failures += 1
            raise
        self._failures = 0
        return data

    def pause(self) -> float:
        """Minutes while all is well, and longer each time while it is not; with jitter."""
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
            with self._access.open(url, headers, TIMEOUT_SECONDS) as answer:
                data = bytes(answer.read(MAX_BYTES))
                length, etag = answer.headers.get("Content-Length"), answer.headers.get("ETag", "")
        except urllib.error.HTTPError as error:
            if error.code == 304:
                return None
            raise BadScript(f"{self.origin}: the server answered {error.code} {error.reason}") from None
        except (OSError, HTTPException, ValueError) as error:
            raise BadScript(f"{self.origin}: cannot be fetched: {error}") from None
        if length is not None and length.isdecimal() and len(data) < min(int(length), MAX_BYTES):
            raise BadScript(f"{self.origin}: broke off after {len(data)} of {length} bytes")
        checksum = hashlib.sha256(data).hexdigest()
        if self._sha256 and checksum != self._sha256:
            raise BadScript(f"{self.origin}: has the SHA-256 {checksum}, not {self._sha256}")
        check(data, self.origin)  # the ETag of a bad answer is not to be remembered
        self._etag = etag
        return data


@lru_cache(maxsize=4)  # asked for in each reconcile, of the same script
def _checksum(script: str) -> str:
    return hashlib.sha256(script.encode()).hexdigest()


def from_environment(env: Mapping[str, str], on_change: Callable[[], None]) -> Source:
    """The source that ``ASYA_RUNTIME_*`` name.

    Raises:
        InvalidSetting: if they cannot be used.
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
