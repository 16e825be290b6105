"""Where the rows of a CSV text end: at line ends that are not in quotes (RFC 4180), by the rules of Arrow's parser.

A quote opens only at the start of a cell; in an open cell two quotes stand for one; lines end in LF, CRLF or CR; blank
lines are no rows.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np

from ebm.errors import BadInput

BYTES = 1 << 23  # read at a time
MAX_RECORD = 1 << 26  # bytes of one row
LF, CR, QUOTE = b"\n"[0], b"\r"[0], b'"'[0]
BESIDE_QUOTE = np.isin(
    np.arange(256), list(b',\r\n"')
)  # what stands before an opening quote, and after a closing one
# One row with its line end. Nothing is tried twice (possessive), so that hostile text takes no longer than other text.
CELL = rb'(?:"[^"]*+(?:""[^"]*+)*+"[^,\r\n]*+|[^",\r\n][^,\r\n]*+)?+'
RECORD = re.compile(CELL + rb"(?:," + CELL + rb")*+(\r\n|\n|\r|\Z)")


class Ends(NamedTuple):
    """Of each row that is complete: where it begins, and where the next begins, ascending; blank lines are left out."""

    starts: np.ndarray
    ends: np.ndarray


def record_ends(text: bytes, *, last: bool) -> Ends:
    """The rows of a text that begins with one.

    Args:
        last: the text is the end of the file, so that its last row may lack a line end. Any other text must not end in
            CR: whether that is a whole line end, only what follows tells.
    """
    data = np.frombuffer(text, np.uint8)
    quoted, found = 0, []
    # Piece by piece: a long cell may hold nothing but line ends, and their places take eight times the memory.
    for low in range(0, len(data), BYTES):
        high = min(low + BYTES, len(data))
        line_ends = _line_ends(data, low, high)
        quotes = np.flatnonzero(data[low:high] == QUOTE) + low
        if not _regular(data, quotes, quoted):
            return _by_grammar(text, last=last)
        found.append(line_ends[(np.searchsorted(quotes, line_ends) + quoted) % 2 == 0])
        quoted = (quoted + len(quotes)) % 2
    ends = np.concatenate([np.zeros(0, np.int64), *found])
    if last and not quoted and len(data) and (not len(ends) or ends[-1] < len(data)):
        ends = np.append(ends, len(data))
    starts = np.concatenate([np.zeros(1, np.int64), ends])[:-1]
    # A blank line holds its end only: LF, CR, or both.
    first, length = data[starts], ends - starts
    blank = (length == 1) & ((first == LF) | (first == CR))
    blank |= (length == 2) & (first == CR) & (data[ends - 1] == LF)
    return Ends(starts[~blank], ends[~blank])


def _line_ends(data: np.ndarray, low: int, high: int) -> np.ndarray:
    """One past each LF, CRLF or CR whose last byte lies in low:high."""
    ends = np.flatnonzero(data[low:high] == LF) + (low + 1)
    returns = np.flatnonzero(data[low:high] == CR) + (low + 1)
    if len(returns):
        alone = returns[(returns == len(data)) | (data[np.minimum(returns, len(data) - 1)] != LF)]
        if len(alone):
            ends = np.union1d(ends, alone)
    return ends


def _regular(data: np.ndarray, quotes: np.ndarray, quoted: int) -> bool:
    """Whether every quote opens or closes a cell, or is one of two in a cell: then counting them tells what is quoted.

    quoted: 1 where the first of them stands in quotes.
    """
    before = quotes[quoted::2] - 1  # of those that open
    after = quotes[1 - quoted :: 2] + 1  # of those that close
    opens = (before < 0) | BESIDE_QUOTE[data[np.maximum(before, 0)]]
    closes = (after == len(data)) | BESIDE_QUOTE[data[np.minimum(after, len(data) - 1)]]
    return bool(opens.all() and closes.all())


def _by_grammar(text: bytes, *, last: bool) -> Ends:
    """One row after the other, for text with quotes where none belong, as in 5" pipe."""
    starts: list[int] = []
    ends: list[int] = []
    at = 0
    while at < len(text) and (found := RECORD.match(text, at)) is not None:
        if not found[1] and not last:
            break
        if found.start(1) > at:
            starts.append(at)
            ends.append(found.end())
        at = found.end()
    return Ends(np.array(starts, np.int64), np.array(ends, np.int64))


class Records:
    """Rows of a text, a few at a time, in constant memory.

    Args:
        file: an open binary file at the start of a row.
        row, offset: number and place of that row.
        name: for messages.

    Attributes:
        row, offset: of the next row.
    """

    def __init__(self, file: Any, row: int, offset: int, name: str):
        self.file, self.row, self.offset, self.name = file, row, offset, name
        self.text, self.at, self.last = b"", 0, False
        self.ends = Ends(np.zeros(0, np.int64), np.zeros(0, np.int64))
        self.next = 0  # of `ends`

    def take(self, n: int) -> tuple[bytes, Ends] | None:
        """The text of the next rows, at least one and at most n, and where they lie in it; None at the end.

        Raises:
            BadInput: a row that is too long, or a quote that is not closed; names the row.
        """
        while self.next == len(self.ends.starts):
            if self.last:
                self._check_end()
                return None
            self._read_on()
        stop = min(self.next + n, len(self.ends.starts))
        until = int(self.ends.ends[stop - 1])
        text = self.text[self.at : until]
        found = Ends(self.ends.starts[self.next : stop] - self.at, self.ends.ends[self.next : stop] - self.at)
        self.offset += until - self.at
        self.row += stop - self.next
        self.at, self.next = until, stop
        return text, found

    def _read_on(self) -> None:
        rest = self.text[self.at :]
        if len(rest) > MAX_RECORD:
            raise BadInput(
                f"{self.name}: row {self.row} is longer than {MAX_RECORD >> 20} MiB; is a quote not closed?",
                row=self.row,
            )
        # More at a time for a row that is long already, so that it is not searched again and again.
        parts = [rest, self.file.read(max(BYTES, len(rest)))]
        while parts[-1].endswith(b"\r"):  # whether that is half a line end, the next byte tells
            parts.append(self.file.read(1))
        self.text, self.at, self.next = b"".join(parts), 0, 0
        self.last = not parts[-1]
        self.ends = record_ends(self.text, last=self.last)
        if not len(self.ends.starts) and not self.last:
            # Blank lines alone may go on for ever; they need not be kept.
            kept = self.text.lstrip(b"\r\n")
            self.offset += len(self.text) - len(kept)
            self.text = kept

    def _check_end(self) -> None:
        if self.text[self.at :].strip(b"\r\n"):
            raise BadInput(
                f"{self.name}: row {self.row}: a quote is not closed before the end of the file", row=self.row
            )
