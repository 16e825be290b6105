"""HTTP of uvicorn and httptools, with the limits that it lacks: how long and how large a request's head may be.

Without them, one client that sends headers for ever, or never ends them, holds memory and connections.
"""

from __future__ import annotations

import asyncio
from asyncio import TimerHandle

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


def limited(head_timeout_s: float, max_head_bytes: int) -> type[HttpToolsProtocol]:
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
    _in_head = _under_way = True
    _received = _body = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        self._in_head = self._under_way = True
        self._received = self._body = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._head_timer is not None:
            self._stop_timer()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._body += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._under_way = False
        super().on_message_complete()

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
