"""A trained model among the published ones, once, however often it is tried."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ebm.artifact import MANIFEST
from ebm.errors import BadInput


def publish_files(artefact: Path, models: Path | str, name: str, version: str) -> str:
    """Copy a complete artefact to `<models>/<name>/<version>`, a folder or a URL.

    An artefact that is there already is fine where it is this very one: the last try ended before it could say so.

    Returns:
        Where it is.

    Raises:
        BadInput: another one is published under this name and version. OSError: it cannot be written; names the place.
    """
    if "://" in str(models) and not str(models).startswith("file://"):
        return _to_url(artefact, str(models), name, version)
    target = Path(str(models).removeprefix("file://")) / name / version
    if not target.exists():
        beside = target.parent / f".{version}.{os.getpid()}.tmp"
        shutil.rmtree(beside, ignore_errors=True)
        try:
            beside.mkdir(parents=True)
            for path in artefact.iterdir():
                shutil.copy2(path, beside / path.name)
            os.replace(beside, target)
        except OSError as error:
            if not target.exists():  # else someone was faster
                raise OSError(f"{target}: {error.strerror or error}") from error
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    there = (target / MANIFEST).read_bytes() if (target / MANIFEST).is_file() else b""
    _check_same(artefact, there, str(target))
    return str(target)


def check_free(artefact: Path, models: Path | str, name: str, version: str) -> None:
    """Known before the hours of training, not after. Raises BadInput: as `publish_files`."""
    if "://" in str(models) and not str(models).startswith("file://"):
        files, root = _open(str(models))
        file = f"{root}/{name}/{version}/{MANIFEST}"
        if files.exists(file):
            _check_same(artefact, files.cat_file(file), f"{models}/{name}/{version}")
        return
    target = Path(str(models).removeprefix("file://")) / name / version
    if target.exists():
        there = (target / MANIFEST).read_bytes() if (target / MANIFEST).is_file() else b""
        _check_same(artefact, there, str(target))


def _to_url(artefact: Path, models: str, name: str, version: str) -> str:
    files, root = _open(models)
    where, base = f"{models.rstrip('/')}/{name}/{version}", f"{root}/{name}/{version}"
    if files.exists(f"{base}/{MANIFEST}"):
        _check_same(artefact, files.cat_file(f"{base}/{MANIFEST}"), where)
        return where
    files.makedirs(base, exist_ok=True)
    # The manifest last: readers take a version without one for an upload under way.
    for path in sorted(artefact.iterdir(), key=lambda path: path.name == MANIFEST):
        files.put_file(str(path), f"{base}/{path.name}")
    return where


def _open(models: str):
    from service.registry.remote import _open as open_url

    return open_url(models)


def _check_same(artefact: Path, there: bytes, where: str) -> None:
    mine = artefact / MANIFEST
    if not (mine.is_file() and mine.read_bytes() == there):
        raise BadInput(f"version: {where} is published already; choose another version")
