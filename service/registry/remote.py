"""A URL of published artefacts (s3://bucket/models, gs://, memory://), mirrored version by version into a local folder.

fsspec does the talking; its own settings (endpoint, keys) come from its environment variables and files, such as
FSSPEC_S3_ENDPOINT_URL or the usual AWS_ ones.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import uuid
from pathlib import Path
from typing import Any

import structlog

from ebm import artifact
from ebm.errors import BadArtifact, BadConfig
from service.registry.store import Found, Look, Stamp

log = structlog.get_logger("service.registry")
# No name of a bucket's choosing may lead out of the cache folder: no separators, no leading dot.
SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
FILES = (artifact.MANIFEST, artifact.WEIGHTS, artifact.CALIBRATION, artifact.CARD)
EXTRAS = {"s3": "pip install 'ebm-service[s3]'", "gs": "pip install gcsfs", "gcs": "pip install gcsfs"}


def user_cache() -> Path:
    """$XDG_CACHE_HOME/ebm-service/models, by default below ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "ebm-service" / "models"


class Remote:
    """Versions never change once published, so that one whose manifest is the same is fetched once and for all."""

    is_remote = True

    def __init__(self, url: str, cache_dir: Path | None = None):
        self._files, self.root = _open(url)
        self.cache = (cache_dir or user_cache()) / hashlib.sha256(url.encode()).hexdigest()[:16]
        self._named: dict[str, tuple[Stamp, str]] = {}
        self._fetched: dict[tuple[str, str], Stamp] = {}
        self._strange: set[str] = set()

    def look(self) -> Look:
        self._files.invalidate_cache()
        try:
            listed: dict[str, Any] = self._files.find(self.root, detail=True)
        except FileNotFoundError:
            listed = {}
        if not listed:  # object stores list what is not there as empty; nobody means to serve nothing
            raise FileNotFoundError(f"nothing is published at {self.root}")
        files: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
        named: dict[str, str] = {}
        for path, about in listed.items():
            parts = path[len(self.root) :].strip("/").split("/")
            if any(part.startswith(".") for part in parts):  # being published
                continue
            if not all(SAFE.fullmatch(part) for part in parts):
                self._warn_once(path)
            elif len(parts) == 2 and parts[1] == artifact.DEFAULT:
                named[parts[0]] = self._read_default(parts[0], path, _stamp({parts[1]: about}))
            elif len(parts) == 3 and parts[2] in FILES:
                files.setdefault((parts[0], parts[1]), {})[parts[2]] = about
        found = [
            Found(*key, _stamp(mine), sum(int(about.get("size") or 0) for about in mine.values()))
            for key, mine in files.items()
        ]
        return Look.of(found, named)

    def manifest(self, found: Found) -> bytes:
        return self._files.cat_file(f"{self.root}/{found.name}/{found.version}/{artifact.MANIFEST}")

    def fetch(self, found: Found) -> Path:
        """The mirrored folder; its checksums are for `artifact.load` to check.

        Raises:
            BadArtifact: what is published is incomplete (an upload under way, perhaps).
        """
        target = self.cache / found.name / found.version
        # What was fetched before needs no network: an evicted model loads again while the store is away.
        if self._fetched.get(found.key) == found.stamp and _is_whole(target):
            return target
        try:
            data = self.manifest(found)
        except FileNotFoundError:
            raise BadArtifact(f"{found.name}/{found.version}/{artifact.MANIFEST}: missing") from None
        if not (_manifest_in(target) == data and _is_whole(target)):
            self._download(found, data, target)
        self._fetched[found.key] = found.stamp
        return target

    def _download(self, found: Found, data: bytes, target: Path) -> None:
        beside = target.parent / f".{found.version}.{uuid.uuid4().hex}.tmp"
        beside.mkdir(parents=True)
        try:
            (beside / artifact.MANIFEST).write_bytes(data)
            for name in FILES[1:]:
                try:
                    self._files.get_file(
                        f"{self.root}/{found.name}/{found.version}/{name}", str(beside / name)
                    )
                except FileNotFoundError:
                    raise BadArtifact(f"{found.name}/{found.version}/{name}: missing") from None
            _replace(beside, target)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        log.info("model_fetched", model=found.name, version=found.version, bytes=found.n_bytes)

    def _read_default(self, name: str, path: str, stamp: Stamp) -> str:
        known = self._named.get(name)
        if known is None or known[0] != stamp:
            text = self._files.cat_file(path)[:200].decode("utf-8", "replace").strip()
            known = self._named[name] = (stamp, text)
        return known[1]

    def _warn_once(self, path: str) -> None:
        if path not in self._strange and len(self._strange) < 100:
            self._strange.add(path)
            log.warning("remote_name_refused", path=path[:200])


def _manifest_in(target: Path) -> bytes | None:
    try:
        return (target / artifact.MANIFEST).read_bytes()
    except OSError:
        return None


def _is_whole(target: Path) -> bool:
    try:
        artifact.verify(target)
    except BadArtifact:
        return False
    return True


def _replace(beside: Path, target: Path) -> None:
    """Rename a folder into place, over an older one; another process may do the same at the same time."""
    for _ in range(3):
        try:
            os.replace(beside, target)
            return
        except OSError:
            if not target.is_dir():
                raise
            old = target.parent / f".{target.name}.{uuid.uuid4().hex}.old"
            try:
                os.replace(target, old)
            except FileNotFoundError:
                continue
            shutil.rmtree(old, ignore_errors=True)
    raise OSError(f"{target}: cannot be replaced")


def _open(url: str) -> tuple[Any, str]:
    protocol = url.split("://")[0].split("::")[-1]
    try:
        from fsspec.core import url_to_fs

        files, root = url_to_fs(url)
    except ImportError as error:
        how = EXTRAS.get(protocol, str(error))
        raise BadConfig(f"models_dir: {protocol}:// needs a library that is not installed: {how}") from None
    except ValueError as error:
        raise BadConfig(f"models_dir: {url!r}: {error}") from None
    return files, root.rstrip("/")


def _stamp(files: dict[str, dict[str, Any]]) -> Stamp:
    times = ("ETag", "etag", "md5Hash", "LastModified", "mtime", "updated", "created")
    return tuple(
        (name, str(about.get("size")), *(str(about[key]) for key in times if key in about))
        for name, about in sorted(files.items())
    )
