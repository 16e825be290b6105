"""A zip of PNG and JPEG files. Nothing is extracted: names in it are labels and words in messages, never paths."""

from __future__ import annotations

import zipfile
import zlib
from functools import partial
from pathlib import Path, PurePosixPath

from ebm.data.image_rows import FILE_OPTIONS, ImageFile, groups_of_paths, image_table
from ebm.data.images import SUFFIXES
from ebm.data.options import ReadOptions
from ebm.data.table import Table
from ebm.errors import BadInput

MAX_FILE_BYTES = 1 << 28  # of one image, unpacked
MAX_BYTES = 1 << 35  # of all of them, by what the zip says of itself
MAX_FILES = 5_000_000


def read_image_zip(path: Path, options: ReadOptions) -> Table:
    """Every PNG and JPEG of a zip, in the order of their names; sub-folders are labels, as those of a folder.

    A folder around all others, as many a program packs it, is no label. Hidden files and what macOS adds are left out.

    Raises:
        BadInput: no images, a damaged zip or image, one that unpacks to too much, images of several sizes where no
            `size` is given, images both beside and inside sub-folders, or deeper than those.
    """
    options.only(path, FILE_OPTIONS)
    try:
        with zipfile.ZipFile(path) as archive:
            infos = sorted(_images(archive), key=lambda info: PurePosixPath(info.filename).parts)
            _check_size(infos, path.name)
            labels = _labels([PurePosixPath(info.filename).parts[:-1] for info in infos], infos, path.name)
            files = [
                ImageFile(
                    f"{path.name}/{info.filename}", info.filename, partial(_read, archive, info, path.name)
                )
                for info in infos
            ]
            groups = groups_of_paths(files, options)
            return image_table(files, path.name, options, labels=labels, groups=groups)
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, UnicodeDecodeError) as error:
        raise BadInput(f"{path.name}: not a readable zip file: {_line(error)}") from None


def _images(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    def wanted(info: zipfile.ZipInfo) -> bool:
        parts = PurePosixPath(info.filename).parts
        hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
        return not info.is_dir() and not hidden and PurePosixPath(info.filename).suffix.lower() in SUFFIXES

    return [info for info in archive.infolist() if wanted(info)]


def _check_size(infos: list[zipfile.ZipInfo], source: str) -> None:
    if not infos:
        raise BadInput(f"{source}: no PNG or JPEG files in this zip")
    if len(infos) > MAX_FILES:
        raise BadInput(f"{source}: {len(infos)} images, more than the limit of {MAX_FILES}")
    for info in infos:
        if info.file_size > MAX_FILE_BYTES:
            raise BadInput(
                f"{source}/{info.filename}: unpacks to {info.file_size} bytes, more than the limit of {MAX_FILE_BYTES}"
            )
    total = sum(info.file_size for info in infos)
    if total > MAX_BYTES:
        raise BadInput(f"{source}: the images unpack to {total} bytes, more than the limit of {MAX_BYTES}")


def _labels(folders: list[tuple[str, ...]], infos: list[zipfile.ZipInfo], source: str) -> list[str] | None:
    while all(len(folder) >= 2 and folder[0] == folders[0][0] for folder in folders):
        folders = [folder[1:] for folder in folders]
    if not any(folders):
        return None
    for folder, info in zip(folders, infos, strict=True):
        if not folder:
            name = PurePosixPath(info.filename).name
            raise BadInput(f"{source}: images both beside and inside sub-folders, so {name} has no label")
        if len(folder) > 1:
            raise BadInput(
                f"{source}/{info.filename}: lies deeper than one sub-folder, so it has no one label"
            )
    return [folder[0] for folder in folders]


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo, source: str) -> bytes:
    try:
        with archive.open(info) as file:
            return file.read(
                MAX_FILE_BYTES + 1
            )  # zipfile reads no further than `file_size`, and checks the CRC
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise BadInput(f"{source}/{info.filename}: cannot be unpacked: {_line(error)}") from None


def _line(error: object) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
