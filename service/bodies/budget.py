"""How many bytes of bodies all requests together may hold: each may be small, and there may be many."""

from __future__ import annotations

from starlette.requests import Request

from service.errors import TooMany

RETRY_AFTER_S = 1


class Budget:
    """Counts the bytes that requests hold. In the event loop."""

    def __init__(self, limit: int):
        self.limit, self.held = limit, 0

    def take(self, request: Request, size: int) -> None:
        """`size` more bytes for `request`; a request that is alone may have what its own limits allow.

        Raises:
            TooMany: the others hold too many already.
        """
        mine = request.scope.get("held_bytes", 0)
        if self.held > mine and self.held + size > self.limit:
            raise TooMany(f"bodies of {self.held} bytes are in work already", RETRY_AFTER_S)
        self.held += size
        request.scope["held_bytes"] = mine + size

    def give_back(self, request: Request) -> None:
        """All that `request` holds; it has been answered."""
        self.held -= request.scope.pop("held_bytes", 0)
