"""From anomaly scores to p-values, thresholds and decisions, by ranks among held-out normal rows.

The conformal p-value p(s) = (1 + #{calibration scores >= s}) / (1 + n) is at most `a` with probability at
most `a` on new normal rows, whatever the model, as long as these are exchangeable with the calibration rows
(Vovk, Gammerman & Shafer, 2005; Bates et al., 2023).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ebm.errors import BadArtifact, BadInput


@dataclass(frozen=True, eq=False)
class Calibration:
    """The anomaly scores of held-out normal rows: `scores` (n,), float64, ascending, finite."""

    scores: np.ndarray

    @classmethod
    def fit(cls, anomaly_scores: ArrayLike) -> Calibration:
        """Keep the scores of normal rows that the model has not seen in training.

        Raises:
            BadInput: no scores, or one that is not finite (the message names its row).
        """
        s = np.asarray(anomaly_scores, dtype=np.float64)
        if s.ndim != 1 or len(s) == 0:
            raise BadInput(f"calibration needs scores of shape (n,) with n at least 1, got {s.shape}")
        if not np.isfinite(s).all():
            row = int((~np.isfinite(s)).argmax())
            raise BadInput(f"calibration row {row}: the anomaly score is {s[row]}", row=row)
        return cls(np.sort(s))

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> Calibration:
        """The inverse of `arrays`.

        Raises:
            BadArtifact: the array is missing, or is not one ascending row of finite numbers.
        """
        s = np.asarray(arrays.get("scores", ()), dtype=np.float64)
        if s.ndim != 1 or len(s) == 0 or not np.isfinite(s).all() or (np.diff(s) < 0).any():
            raise BadArtifact("calibration: 'scores' must be one ascending row of finite numbers")
        return cls(s)

    def arrays(self) -> dict[str, np.ndarray]:
        """What to store: {"scores": (n,) float64}."""
        return {"scores": self.scores}

    @property
    def n(self) -> int:
        """How many normal rows the calibration rests on."""
        return len(self.scores)

    @property
    def mean(self) -> float:
        """Mean anomaly score of the calibration rows."""
        return float(self.scores.mean())

    @property
    def sd(self) -> float:
        """Their standard deviation (n in the denominator)."""
        return float(self.scores.std())

    def p_values(self, anomaly_scores: ArrayLike) -> np.ndarray:
        """(1 + #{calibration scores >= s}) / (1 + n) for each s: (...) -> (...), float64, in (0, 1].

        Ties count against anomaly, so p-values are conservative where scores repeat.

        Raises:
            BadInput: a score is NaN. Infinite scores rank where they belong.
        """
        s = np.asarray(anomaly_scores, dtype=np.float64)
        if np.isnan(s).any():
            row = int(np.isnan(s).ravel().argmax())
            raise BadInput(f"row {row}: the anomaly score is NaN", row=row)
        at_least = self.n - np.searchsorted(self.scores, s, side="left")
        return (1 + at_least) / (1 + self.n)

    def threshold(self, fpr: float) -> float:
        """The t for which `anomaly_score > t` says the same as `p_value <= fpr`.

        It is the k-th largest calibration score, k = floor(fpr (n + 1)); infinity where k = 0.

        Raises:
            BadInput: fpr is not in (0, 1).
        """
        k = self._rank(fpr)
        return float(self.scores[self.n - k]) if k else math.inf

    def resolvable(self, fpr: float) -> bool:
        """Whether any row can get p <= fpr at all, i.e. fpr >= 1 / (n + 1)."""
        return self._rank(fpr) > 0

    def note(self, *, fpr: float | None = None, fdr: float | None = None, rows: int = 1) -> str | None:
        """A line for the user where the request can flag nothing (fpr), or no lone row (fdr); else None."""
        smallest = 1 / (self.n + 1)
        if fpr is not None and not self.resolvable(fpr):
            return (
                f"fpr {fpr:g} is below the smallest p-value, {smallest:.2g} with {self.n} calibration rows: "
                "no row can be flagged"
            )
        if fdr is not None and rows and smallest > check_rate("fdr", fdr) / rows:
            needed = math.ceil(rows * smallest / fdr)
            if needed > rows:
                return f"fdr {fdr:g} cannot flag any row with {self.n} calibration rows"
            return (
                f"fdr {fdr:g} over {rows} rows with {self.n} calibration rows: fewer than {needed} anomalies "
                "cannot be flagged"
            )
        return None

    def _rank(self, fpr: float) -> int:
        fpr = check_rate("fpr", fpr)
        k = math.floor(fpr * (self.n + 1))
        # The product may round across an integer; k/(n + 1) <= fpr is how p-values are compared.
        if (k + 1) / (self.n + 1) <= fpr:
            k += 1
        return k - 1 if k / (self.n + 1) > fpr else k


def benjamini_hochberg(p_values: ArrayLike, fdr: float) -> np.ndarray:
    """Which rows to flag so that the expected share of normal rows among the flagged is at most `fdr`.

    Flags the k smallest p-values for the largest k with p_(k) <= k fdr / m (Benjamini & Hochberg, 1995).
    Holds for conformal p-values too, which depend positively on each other (Bates et al., 2023).

    Args:
        p_values: (m,), in [0, 1].

    Returns:
        (m,) bool.

    Raises:
        BadInput: fdr is not in (0, 1), or a p-value is not in [0, 1].
    """
    check_rate("fdr", fdr)
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1:
        raise BadInput(f"p-values must have shape (m,), got {p.shape}")
    wrong = ~((p >= 0) & (p <= 1))
    if wrong.any():
        row = int(wrong.argmax())
        raise BadInput(f"row {row}: {p[row]} is not a p-value", row=row)
    if len(p) == 0:
        return np.zeros(0, dtype=bool)
    from scipy.stats import false_discovery_control  # slow to import, and needed only here

    return false_discovery_control(p, method="bh") <= fdr


def check_rate(name: str, value: float) -> float:
    """`value` as a float in (0, 1), else BadInput that says `name`."""
    if not 0 < value < 1:
        raise BadInput(f"{name} must lie between 0 and 1, got {value:g}")
    return float(value)
