"""Random batches for training, prepared while the device is busy with the ones before."""

from __future__ import annotations

import queue
import threading
import weakref
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from ebm.data.pixels import Rows

ALL = slice(None)
POLL = 0.1  # seconds between two looks at whether anyone still wants batches


@dataclass(frozen=True)
class _Ready:
    x: Tensor
    drawn: Tensor  # which rows
    state: Tensor  # of the generator, once it had drawn this batch
    copied: Any = None  # a CUDA event


class Batches:
    """Endless batches x (size, ...) in model space on `device`; rows are drawn with replacement, by
    `torch.randint(len(rows), (size,), generator=generator)`.

    With `share` these are those rows of each drawn batch alone, of which other devices have the others.

    A thread prepares up to `ahead` batches before they are asked for; for a CUDA device it copies them from pinned
    memory on a stream of its own. The batches are the same whatever `ahead` is, 0 for no thread.

    Args:
        generator: on the CPU, and in no other's use until `close`.
    """

    def __init__(
        self,
        rows: Rows,
        size: int,
        generator: Generator,
        device: torch.device | str = "cpu",
        ahead: int = 2,
        share: slice = ALL,
    ):
        self.rows, self.size, self.generator, self.share = rows, size, generator, share
        self.device, self.ahead = torch.device(device), ahead
        self.drawn = torch.zeros(0, dtype=torch.long)  # which rows the last batch was, on the CPU
        self._state = generator.get_state()
        self._failed: BaseException | None = None
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def next(self) -> Tensor:
        """The next batch.

        Raises:
            Whatever reading it raised, be it in the thread; and again from then on.
        """
        if self.ahead < 1:
            ready = _prepare(self.rows, self.size, self.generator, self.device, None, self.share)
        else:
            if self._failed is not None:
                raise self._failed
            if self._thread is None:
                self._start()
            ready = self._queue.get()
        if isinstance(ready, BaseException):
            self._failed = ready
            raise ready
        if ready.copied is not None:
            stream = torch.cuda.current_stream(self.device)
            stream.wait_event(ready.copied)
            ready.x.record_stream(
                stream
            )  # or its memory could be given away while this stream still reads it
        self._state, self.drawn = ready.state, ready.drawn
        return ready.x

    def state(self) -> Tensor:
        """The state of the generator as the batches given so far leave it, however many are prepared."""
        return self._state.clone()

    def restore(self, state: Tensor) -> None:
        """Go on as from `state`; what was prepared is dropped."""
        self.close()
        self.generator.set_state(state)
        self._state, self._failed = state.clone(), None

    def close(self) -> None:
        """End the thread and leave the generator as if nothing had been prepared."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
            self.generator.set_state(self._state)

    def _start(self) -> None:
        self._stop = threading.Event()
        self._queue: queue.Queue[_Ready | BaseException] = queue.Queue(self.ahead)
        weakref.finalize(self, self._stop.set)
        # The thread does not hold `self`: who forgets to close must not keep it alive.
        self._thread = threading.Thread(
            target=_fill,
            args=(self._queue, self._stop, self.rows, self.size, self.generator, self.device, self.share),
            name="batches",
            daemon=True,
        )
        self._thread.start()


def _prepare(
    rows: Rows, size: int, generator: Generator, device: torch.device, stream: Any, share: slice
) -> _Ready:
    drawn = torch.randint(len(rows), (size,), generator=generator)[share]
    x = rows.take(drawn)
    state = generator.get_state()
    if device.type != "cuda" or stream is None or x.device.type != "cpu":
        return _Ready(rows.to_model(x.to(device)), drawn, state)
    with torch.cuda.stream(stream):
        x = rows.to_model(x.pin_memory().to(device, non_blocking=True))
        return _Ready(x, drawn, state, stream.record_event())


def _fill(
    ready: queue.Queue[_Ready | BaseException],
    stop: threading.Event,
    rows: Rows,
    size: int,
    generator: Generator,
    device: torch.device,
    share: slice,
) -> None:
    def put(item: _Ready | BaseException) -> None:
        while not stop.is_set():
            try:
                return ready.put(item, timeout=POLL)
            except queue.Full:
                continue

    try:
        stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        while not stop.is_set():
            put(_prepare(rows, size, generator, device, stream, share))
    except BaseException as error:
        put(error)
