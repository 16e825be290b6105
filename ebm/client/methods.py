"""Operations as methods of the two clients, with their signatures and what they say of themselves."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from ebm.client.calls import Call, Steps
from ebm.client.making import Event

if TYPE_CHECKING:
    from ebm.client.client import AsyncClient, Client

P = ParamSpec("P")
T = TypeVar("T")


def blocking(operation: Callable[P, Steps[T]]) -> Callable[Concatenate[Client, P], T]:
    @functools.wraps(operation)
    def method(self: Client, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._run(operation(*args, **kwargs))

    return method


def awaited(
    operation: Callable[P, Steps[T]],
) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]:
    @functools.wraps(operation)
    async def method(self: AsyncClient, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._run(operation(*args, **kwargs))

    return method


def streaming(call_of: Callable[P, Call]) -> Callable[Concatenate[Client, P], Iterator[Event]]:
    @functools.wraps(call_of)
    def method(self: Client, *args: P.args, **kwargs: P.kwargs) -> Iterator[Event]:
        return self._stream(call_of(*args, **kwargs))

    return method


def streaming_awaited(
    call_of: Callable[P, Call],
) -> Callable[Concatenate[AsyncClient, P], AsyncIterator[Event]]:
    @functools.wraps(call_of)
    def method(self: AsyncClient, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[Event]:
        return self._stream(call_of(*args, **kwargs))

    return method
