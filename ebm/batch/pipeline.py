"""Reading ahead and writing behind, each in a thread of its own, while the caller's thread computes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
AHEAD, BEHIND = 2, 1  # blocks in memory that wait, before and behind the computation


def pipelined(
    items: Iterable[A], compute: Callable[[A], B], write: Callable[[B], C], before: Callable[[], None]
) -> Iterator[C]:
    """What `write` returns of each item, in order.

    Whatever fails in a thread is raised here. When the caller stops early, what is computed is still written.

    Args:
        before: called before each computation; may raise to stop.
    """
    source = iter(items)
    end: Any = object()
    reader, writer = ThreadPoolExecutor(1, "batch-reader"), ThreadPoolExecutor(1, "batch-writer")
    ahead: deque[Future[A]] = deque()
    behind: deque[Future[C]] = deque()
    try:
        ahead.extend(reader.submit(next, source, end) for _ in range(AHEAD))
        while True:
            item = ahead.popleft().result()
            if item is end:
                break
            ahead.append(reader.submit(next, source, end))
            before()
            behind.append(writer.submit(write, compute(item)))
            del item
            while behind and (len(behind) > BEHIND or behind[0].done()):
                yield behind.popleft().result()
        while behind:
            yield behind.popleft().result()
    finally:
        reader.shutdown(wait=False, cancel_futures=True)
        # An interrupted run leaves no half of a part, and no thread that still writes.
        writer.shutdown(wait=True)
        reader.shutdown(wait=True)
