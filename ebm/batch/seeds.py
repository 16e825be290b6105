"""How many rows a sampler takes together, and the seed of each such group: facts of the model and the row's number, so
that a run gives the same rows however often it was interrupted."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

NUMBERS = 2**18  # in one group: bounds the memory of a network's activations
MOST, LEAST = 1024, 16  # rows of one


def rows_together(input_shape: tuple[int, ...]) -> int:
    """The largest power of two of rows that hold at most 2^18 numbers; 16 to 1024."""
    width = max(math.prod(input_shape), 1)
    return min(MOST, max(LEAST, 1 << (max(NUMBERS // width, 1).bit_length() - 1)))


def groups(first: int, n: int, together: int) -> Iterator[tuple[int, int]]:
    """(start, stop) in a chunk of n rows from row `first` of the file on. Groups end at multiples of `together`, and at
    the chunk's end."""
    start = 0
    while start < n:
        stop = min(n, start + together - (first + start) % together)
        yield start, stop
        start = stop


def seed_of(seed: int, row: int) -> int:
    """The seed of a group that begins at this row: of the first, `seed` itself, so that few rows are what the library
    gives for it; of others 63 bits that `np.random.SeedSequence` derives from both."""
    if row == 0:
        return seed
    words = np.random.SeedSequence(seed, spawn_key=(row,)).generate_state(1, np.uint64)
    return int(words[0] >> np.uint64(1))
