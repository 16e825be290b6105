"""What a chunk of energies adds to the summary: a few numbers as JSON, that add up in the order of the file."""

from __future__ import annotations

import base64
import heapq
import math
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ebm.calibration import Calibration
from ebm.score_counts import ScoreCounts

# Bins of asinh(anomaly score): .016 wide around 0, 1.6% of the score far from it. Float32 energies end at +-6400.
PER_UNIT = 64
MOST = 200 * PER_UNIT


@dataclass
class Moments:
    """Count, mean, sum of squared deviations, smallest and largest of finite numbers (Chan, Golub & LeVeque 1979)."""

    n: int = 0
    mean: float = 0.0
    squares: float = 0.0
    low: float = math.inf
    high: float = -math.inf

    @classmethod
    def of(cls, values: np.ndarray) -> Moments:
        if not len(values):
            return cls()
        wide = values.astype(np.float64)
        mean = float(wide.mean())
        return cls(len(wide), mean, float(((wide - mean) ** 2).sum()), float(wide.min()), float(wide.max()))

    def merge(self, other: Moments) -> None:
        if not other.n:
            return
        n = self.n + other.n
        step = other.mean - self.mean
        self.mean += step * other.n / n
        self.squares += other.squares + step * step * self.n * other.n / n
        self.n, self.low, self.high = n, min(self.low, other.low), max(self.high, other.high)

    @property
    def sd(self) -> float:
        return math.sqrt(self.squares / self.n)


@dataclass(eq=False)
class Tally:
    """Of energies (m,) and what they mean against the calibration.

    scored: m; low_infinite, high_infinite: of them -inf and +inf, which the moments leave out.
    bins: (2 MOST + 1,) counts of floor(PER_UNIT asinh(anomaly score)) + MOST.
    worst: the `n_worst` rows of highest energy as (energy, -row, p_value), earlier rows first among equals.
    """

    calibration: Calibration
    n_worst: int
    scored: int = 0
    low_infinite: int = 0
    high_infinite: int = 0
    moments: Moments = field(default_factory=Moments)
    bins: np.ndarray = field(default_factory=lambda: np.zeros(2 * MOST + 1, np.int64))
    worst: list[tuple[float, int, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.counts = ScoreCounts(self.calibration)

    def add(
        self, rows: np.ndarray, energy: np.ndarray, anomaly_score: np.ndarray, p_value: np.ndarray
    ) -> None:
        """Of one chunk; no NaN among them. rows: (m,) their numbers in the file."""
        finite = np.isfinite(energy)
        self.scored += len(energy)
        self.low_infinite += int((energy == -np.inf).sum())
        self.high_infinite += int((energy == np.inf).sum())
        self.moments.merge(Moments.of(energy if finite.all() else energy[finite]))
        self.counts.add(anomaly_score)
        self.bins += np.bincount(bin_of(anomaly_score[finite]), minlength=len(self.bins))
        k = min(self.n_worst, len(energy))
        if k:
            least = np.partition(energy, len(energy) - k)[len(energy) - k]
            above = np.flatnonzero(energy > least)
            ties = np.flatnonzero(energy == least)[: k - len(above)]
            index = np.concatenate([above, ties])
            # +inf of float32 is kept as such: it is the worst there is.
            found = zip(energy[index].tolist(), (-rows[index]).tolist(), p_value[index].tolist(), strict=True)
            self.worst = heapq.nlargest(self.n_worst, [*self.worst, *found])

    def as_json(self) -> dict[str, Any]:
        """Small: counts are packed."""
        m = self.moments
        return {
            "scored": self.scored,
            "infinite": [self.low_infinite, self.high_infinite],
            "moments": [m.n, m.mean, m.squares, *((m.low, m.high) if m.n else (None, None))],
            "bins": _pack(self.bins),
            "ranks": _pack(self.counts.ranks),
            "deciles": self.counts.bins.tolist(),
            "worst": [[str(energy), row, p] for energy, row, p in self.worst],
        }

    @classmethod
    def merged(cls, parts: Iterable[dict[str, Any]], calibration: Calibration, n_worst: int) -> Tally:
        """All parts together. Sums of floats depend on their order: give them in that of the file."""
        out = cls(calibration, n_worst)
        for part in parts:
            out.scored += part["scored"]
            low, high = part["infinite"]
            out.low_infinite += low
            out.high_infinite += high
            n, mean, squares, least, most = part["moments"]
            if n:
                out.moments.merge(Moments(n, mean, squares, least, most))
            out.bins += _unpack(part["bins"])
            out.counts.merge(_unpack(part["ranks"]), np.array(part["deciles"], np.int64), low + high)
            found = [(float(energy), row, p) for energy, row, p in part["worst"]]
            out.worst = heapq.nlargest(n_worst, [*out.worst, *found])
        return out


def bin_of(anomaly_score: np.ndarray) -> np.ndarray:
    """The bin of each finite score; those that float64 alone can hold fall into the outermost."""
    place = np.floor(np.arcsinh(anomaly_score) * PER_UNIT)
    return (np.clip(place, -MOST, MOST) + MOST).astype(np.int64)


def edges_of(first: int, last: int) -> np.ndarray:
    """The anomaly scores where the bins from `first` on begin, and where `last` ends."""
    return np.sinh((np.arange(first, last + 2) - MOST) / PER_UNIT)


def _pack(counts: np.ndarray) -> str:
    return base64.b64encode(zlib.compress(counts.astype("<i8").tobytes(), 6)).decode()


def _unpack(text: str) -> np.ndarray:
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), "<i8").astype(np.int64)
