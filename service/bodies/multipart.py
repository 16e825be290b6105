"""Forms: several files in one body, and options in its fields."""

from __future__ import annotations

from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from ebm.errors import BadInput

MAX_FIELDS, MAX_FIELD_BYTES, MAX_PART_HEADER = 100, 10_000, 10_000


@dataclass
class File:
    """A file of a form; `type` is its Content-Type, `part` the name of the form's field."""

    name: str
    type: str
    content: bytes
    part: str = ""


@dataclass
class Form:
    files: list[File] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)


def read_form(body: bytes, boundary: str, max_files: int) -> Form:
    """The files, in their order, and the text fields of a form.

    Raises:
        BadInput: damaged, without a file, or with too many fields. Stops after `max_files + 1` files.
    """
    if not 0 < len(boundary) <= 200:
        raise BadInput("the form has no boundary")
    reader = _Reader(body, max_files)
    try:
        parser = MultipartParser(boundary.encode("latin-1", "replace"), reader.callbacks())  # type: ignore[arg-type]
        parser.write(body)
        parser.finalize()
    except _Enough:
        return reader.form
    except (FormParserError, ValueError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(f"the form is damaged: {' '.join(str(error).split())[:200]}") from None
    if not reader.ended:
        raise BadInput("the form is cut off")
    if not reader.form.files:
        raise BadInput("the form has no file")
    return reader.form


class _Enough(Exception):
    """More files than anyone will read."""


class _Reader:
    def __init__(self, body: bytes, max_files: int):
        self.body, self.max_files = body, max_files
        self.form, self.ended = Form(), False
        self._start()

    def callbacks(self) -> dict[str, object]:
        return {
            "on_part_begin": self._start,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_end": self._finish,
        }

    def _start(self) -> None:
        self._headers: dict[bytes, bytes] = {}
        self._field = self._value = b""
        self._parts: list[bytes] = []
        self._header_bytes = 0

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += self._bounded(data, start, end)

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += self._bounded(data, start, end)

    def _bounded(self, data: bytes, start: int, end: int) -> bytes:
        self._header_bytes += end - start
        if self._header_bytes > MAX_PART_HEADER:
            raise BadInput("the form has a part with a header that is too long")
        return data[start:end]

    def _header_end(self) -> None:
        self._headers[self._field.lower()] = self._value
        self._field = self._value = b""

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._parts.append(data[start:end])

    def _end(self) -> None:
        _, disposition = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = disposition.get(b"name", b"").decode("utf-8", "replace")
        content = b"".join(self._parts)
        filename = disposition.get(b"filename")
        if filename is not None or b"content-type" in self._headers:
            kind, shown = _shown(self._headers.get(b"content-type", b"")), _shown(filename or b"")
            self.form.files.append(File(shown or f"file {len(self.form.files)}", kind, content, name))
            if len(self.form.files) > self.max_files:
                raise _Enough
            return
        if len(content) > MAX_FIELD_BYTES or len(self.form.fields) >= MAX_FIELDS or name in self.form.fields:
            raise BadInput(f"the form's field {name[:80]!r} is too long, one too many, or there twice")
        self.form.fields[name] = content.decode("utf-8", "replace")

    def _finish(self) -> None:
        self.ended = True


def _shown(text: bytes) -> str:
    """What a stranger wrote, fit to be part of a message."""
    found = text.decode("utf-8", "replace")[:80]
    return found if found.isprintable() else ascii(found)
