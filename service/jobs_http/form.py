"""Forms of a job: the part `job`, a JSON document, and then perhaps the part `file`, of any size."""

from __future__ import annotations

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from ebm.errors import BadInput

MAX_DOCUMENT_BYTES, MAX_PART_HEADER = 2**20, 10_000


class FormReader:
    """Takes a form piece by piece, and holds no more of the file than the last piece.

    document: the JSON text, once it is whole.
    file_name: what the sender calls the file, once it begins.
    """

    def __init__(self, boundary: str):
        if not 0 < len(boundary) <= 200:
            raise BadInput("the form has no boundary")
        self.document: bytes | None = None
        self.file_name: str | None = None
        self._part: str | None = None
        self._text: list[bytes] = []
        self._pieces: list[bytes] = []
        self._size, self._ended = 0, False
        callbacks = {
            "on_part_begin": self._begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_end": self._finish,
        }
        encoded = boundary.encode("latin-1", "replace")
        self._parser = MultipartParser(encoded, callbacks)  # type: ignore[arg-type]

    def feed(self, piece: bytes) -> list[bytes]:
        """Read on; what of the file was in `piece`.

        Raises:
            BadInput: the form is damaged, or has other parts than these two in this order.
        """
        try:
            self._parser.write(piece)
        except (FormParserError, ValueError) as error:
            if isinstance(error, BadInput):
                raise
            raise BadInput(f"the form is damaged: {' '.join(str(error).split())[:200]}") from None
        found, self._pieces = self._pieces, []
        return found

    def finish(self) -> None:
        """Raises BadInput where the form was cut off."""
        if not self._ended:
            raise BadInput("the form is cut off")
        if self.document is None:
            raise BadInput("the form has no part 'job'")

    def _begin(self) -> None:
        self._headers: dict[bytes, bytes] = {}
        self._field = self._value = b""
        self._part, self._text, self._size = None, [], 0

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += self._bounded(data, start, end)

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += self._bounded(data, start, end)

    def _bounded(self, data: bytes, start: int, end: int) -> bytes:
        self._size += end - start
        if self._size > MAX_PART_HEADER:
            raise BadInput("the form has a part with a header that is too long")
        return data[start:end]

    def _header_end(self) -> None:
        self._headers[self._field.lower()] = self._value
        self._field = self._value = b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = options.get(b"name", b"").decode("utf-8", "replace")
        self._size = 0
        if name == "job" and self.document is None and self.file_name is None:
            self._part = name
        elif name == "file" and self.document is not None and self.file_name is None:
            self._part = name
            self.file_name = options.get(b"filename", b"").decode("utf-8", "replace")
        else:
            raise BadInput(
                f"the form's part {name[:80]!r}: a form has the part 'job', then at most one part 'file'"
            )

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._part == "file":
            self._pieces.append(data[start:end])
            return
        self._size += end - start
        if self._size > MAX_DOCUMENT_BYTES:
            raise BadInput(f"the form's part 'job' is longer than {MAX_DOCUMENT_BYTES} bytes")
        self._text.append(data[start:end])

    def _end(self) -> None:
        if self._part == "job":
            self.document = b"".join(self._text)

    def _finish(self) -> None:
        self._ended = True
