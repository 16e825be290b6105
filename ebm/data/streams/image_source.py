"""PNG and JPEG files, one row each: a file, those below a folder, or those of a zip, of which nothing is unpacked."""

from __future__ import annotations

import os
import zipfile
import zlib
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

from ebm.data.image_zip import MAX_FILE_BYTES, MAX_FILES
from ebm.data.streams.image_decoder import ImageDecoder
from ebm.data.streams.listing import Listing, list_files
from ebm.data.streams.place import Place, one_line
from ebm.data.streams.protocol import Mark
from ebm.data.streams.source import Piece, Reader, StreamSource
from ebm.errors import BadInput

SUFFIXES = (".png", ".jpg", ".jpeg")
AT_ONCE = 64  # pictures read together


class ImageSource(StreamSource):
    """Table: the column `file`, paths below the folder or in the zip. Values: what `ImageDecoder` makes of them.

    A picture that is damaged, or has gone since, is a bad row.

    Args:
        schema: of an image model's input; without, the first picture that can be read says what all are like.
    """

    kind = "image"
    decoder: ImageDecoder

    def __init__(self, place: Place, schema: Mapping[str, Any] | None):
        super().__init__(place, columns=["file"])
        if schema is not None:
            self.decoder = ImageDecoder(schema)  # before a long listing
        with self.named():
            self.names = self.find()
        if not self.names:
            raise BadInput(f"{place}: no PNG or JPEG files in it")
        if len(self.names) > MAX_FILES:
            raise BadInput(f"{place}: {len(self.names)} images, more than the limit of {MAX_FILES}")
        self.n_rows = len(self.names)
        if schema is None:
            self.decoder = self._like_the_first()

    @abstractmethod
    def find(self) -> Sequence[Any]:
        """What `read` takes, in order."""

    @abstractmethod
    def label(self, item: Any) -> str:
        """The path to show."""

    @abstractmethod
    def read(self, items: Sequence[Any], archive: Any) -> Iterator[bytes | BadInput]:
        """Bytes of each, or why there are none. What is not the fault of one picture is raised."""

    def opened(self, stack: ExitStack) -> Any:
        """What `read` takes as the archive."""
        return None

    def reader(self, start: Mark, rows: int) -> Reader:
        return _ImageReader(self, start.row)

    def _like_the_first(self) -> ImageDecoder:
        for item in self.names:
            with self.named(), ExitStack() as stack:
                data = next(self.read([item], self.opened(stack)))
            try:
                if isinstance(data, bytes):
                    return ImageDecoder.like(data, self.label(item))
            except BadInput:
                continue
        raise BadInput(f"{self.place}: none of its {len(self.names)} PNG or JPEG files can be read")


class ImageFolder(ImageSource):
    """A folder with all below it, or one file. Hidden files are left out."""

    listing: Listing | None = None

    def find(self) -> Sequence[str]:
        if self.place.is_dir():
            self.listing = list_files(self.place, is_picture)
            return self.listing.names
        if not self.place.exists():
            raise BadInput(f"{self.place}: no such file")
        return [self.place.name]

    def label(self, item: str) -> str:
        return os.fsencode(item).decode("utf-8", "replace")

    def read(self, items: Sequence[str], archive: Any) -> Iterator[bytes | BadInput]:
        for item in items:
            place = self.place if self.listing is None else self.listing.place(item)
            try:
                if place.path is None:
                    with place.open() as file:
                        data = file.read(MAX_FILE_BYTES + 1)
                else:
                    with place.path.open("rb") as file:
                        data = file.read(MAX_FILE_BYTES + 1)
            except (FileNotFoundError, PermissionError) as error:
                yield BadInput(f"{self.label(item)}: {error.strerror}")
                continue
            too_large = f"{self.label(item)}: over {MAX_FILE_BYTES} bytes"
            yield data if len(data) <= MAX_FILE_BYTES else BadInput(too_large)

    def identity(self) -> dict[str, Any]:
        return self.place.identity() if self.listing is None else self.listing.identity()


class ImageZip(ImageSource):
    """A zip, wherever it lies. Hidden files and what macOS adds are left out."""

    kind = "zip"

    def find(self) -> Sequence[zipfile.ZipInfo]:
        with ExitStack() as stack:
            archive = self.opened(stack)
            return sorted(
                filter(_wanted, archive.infolist()), key=lambda info: PurePosixPath(info.filename).parts
            )

    def label(self, item: zipfile.ZipInfo) -> str:
        return item.filename.encode("utf-8", "replace").decode()

    def read(self, items: Sequence[zipfile.ZipInfo], archive: Any) -> Iterator[bytes | BadInput]:
        for info in items:
            label = f"{self.name}/{self.label(info)}"
            if info.file_size > MAX_FILE_BYTES:
                yield BadInput(
                    f"{label}: unpacks to {info.file_size} bytes, more than the limit of {MAX_FILE_BYTES}"
                )
                continue
            try:
                with archive.open(info) as file:
                    data = file.read(MAX_FILE_BYTES + 1)
            except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
                data = BadInput(f"{label}: cannot be unpacked: {one_line(error)}")
            yield data

    def opened(self, stack: ExitStack) -> zipfile.ZipFile:
        return stack.enter_context(zipfile.ZipFile(stack.enter_context(self.place.open())))


class _ImageReader(Reader):
    def __init__(self, source: ImageSource, row: int):
        self.source, self.mark = source, Mark(row)
        with ExitStack() as stack:
            self.archive = source.opened(stack)
            self.stack = stack.pop_all()

    def take(self, n: int) -> Piece | None:
        source, row = self.source, self.mark.row
        items = source.names[row : row + min(n, AT_ONCE)]
        if not items:
            return None
        labels = [source.label(item) for item in items]
        values, bad = source.decoder.rows(
            list(zip(labels, source.read(items, self.archive), strict=True)), row
        )
        self.mark = Mark(row + len(items))
        return Piece(len(items), pa.table({"file": pa.array(labels, pa.string())}), values, bad)

    def close(self) -> None:
        self.stack.close()


def is_picture(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def _wanted(info: zipfile.ZipInfo) -> bool:
    path = PurePosixPath(info.filename)
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
    return not info.is_dir() and not hidden and path.suffix.lower() in SUFFIXES
