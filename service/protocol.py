"""HTTP of uvicorn and httptools, with the limits that it lacks: how long and how large a request's head may be.

Without them, one client that sends headers for ever, or never ends them, holds memory and connections.
"""

from __future__ import annotations

import asyncio
from asyncio import TimerHandle
from collections.abc import Callable
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# What of a request's head says whether it is refused: url, headers, requests in work; see service/overload.py.
Refusal = Callable[[bytes, list[tuple[bytes, bytes]], int], tuple[bytes, float] | None]
MOST_UNREAD_BYTES = 2**16  # of refusals, by a client that asks but does not listen


def limited(head_timeout_s: float, max_head_bytes: int) -> type[Limited]:
    """The class of connections with these limits, for uvicorn's option `http`."""
    return type(
        "Connection", (Limited,), {"head_timeout_s": head_timeout_s, "max_head_bytes": max_head_bytes}
    )


class Limited(HttpToolsProtocol):
    """Closes a connection whose request's head is too slow (408), or whose head, trailers or framing are too large
    (431).

    The clock runs from the connection, and from the first byte of each later request; heads that come whole in one
    piece, as nearly all do, need no timer.
    """

    head_timeout_s: float
    max_head_bytes: int
    _head_timer: TimerHandle | None = None
    refusal: ClassVar[Refusal | None] = None
    _in_head = _under_way = True
    _refused = False
    _received = _body = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        self._in_head = self._under_way = True
        self._refused = False
        self._received = self._body = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._head_timer is not None:
            self._stop_timer()
        refusal = type(self).refusal  # of the class, so that it is not taken for a method
        if refusal is None or not self._refuse_politely(refusal):
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._body += len(body)
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._under_way = False
        if not self._refused:
            super().on_message_complete()
        elif not self.transport.is_closing():
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self._under_way or self.transport.is_closing():
            return
        # Counted too large, by less than one piece, where a request begins in the middle of one.
        self._received += len(data)
        # The chunks of a body may be framed by some bytes each.
        if self._received - 8 * self._body > self.max_head_bytes:
            self._refuse(b"431 Request Header Fields Too Large")
        elif self._in_head and self._head_timer is None:
            self._start_timer()

    def _refuse_politely(self, refusal: Refusal) -> bool:
        """Answer from here, where the server has no time for the request; its body, if any, is passed over."""
        if self.cycle is not None and not self.cycle.response_complete:
            return False  # an earlier request on this connection is to be answered first
        parser: Any = self.parser
        if self.expect_100_continue or parser.should_upgrade():
            return False
        found = refusal(self.url, self.headers, len(self.tasks))
        if found is None:
            return False
        answer, pause_s = found
        self._refused = True
        self.transport.write(answer)
        if pause_s:
            self.flow.pause_reading()
            self.loop.call_later(pause_s, self._read_on)
        unread = self.transport.get_write_buffer_size()
        stays = parser.get_http_version() != "1.0" and parser.should_keep_alive()
        if not stays or unread > MOST_UNREAD_BYTES:
            self.transport.close()
        return True

    def _read_on(self) -> None:
        if not self.transport.is_closing():
            self.flow.resume_reading()

    def _start_timer(self) -> None:
        self._head_timer = self.loop.call_later(self.head_timeout_s, self._refuse, b"408 Request Timeout")

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self, status: bytes) -> None:
        self._stop_timer()
        if not self.transport.is_closing():
            # An earlier request on this connection may still be answered; then this one gets no words of its own.
            if self.cycle is None or self.cycle.response_complete:
                self.transport.write(
                    b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                )
            self.transport.close()
