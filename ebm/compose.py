"""Several models on one input space as one: products of experts, mixtures, and "like A, unlike B"."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ebm.answers import Generated, Scores
from ebm.calibration import benjamini_hochberg, check_rate
from ebm.composed_sampling import mixture_steps, product_steps
from ebm.detector import Detector
from ebm.errors import BadInput
from ebm.steps import Progress, Steps, finish

Mode = Literal["product", "either"]
Scale = Literal["standardised", "raw"]
NO_P_VALUE = (
    "a negative weight asks for rows that a model finds unusual: no p-value of 'normal' holds for such a sum, so there "
    "are ranks only"
)


@dataclass(frozen=True, eq=False)
class TermScores:
    """What one model of a composition says; arrays are (N,)."""

    name: str
    version: str
    weight: float
    energy: np.ndarray
    anomaly_score: np.ndarray
    p_value: np.ndarray


@dataclass(frozen=True, eq=False)
class ComposedScores:
    """What a composition says of N rows; every array is (N,).

    energy: of the composition, float64, lower = more normal. It is also the number that ranks.
    p_value, is_anomaly: None where a weight is negative.
    rank: 1 = the most anomalous; ties share the smaller rank, and rows whose energy is NaN (infinitely far by models
        of opposite signs) come first.
    note: what the request could not get; else None.
    terms: each model's own numbers.
    """

    energy: np.ndarray
    p_value: np.ndarray | None
    is_anomaly: np.ndarray | None
    rank: np.ndarray
    fpr: float | None
    fdr: float | None
    note: str | None
    terms: tuple[TermScores, ...]


class Composition:
    """Detectors of one input space with weights.

    product:  E(x) = sum_i w_i e_i(x), of the density prod_i p_i(x)^w_i: normal where every model agrees (Hinton 2002).
        Weights may be negative: "like A, unlike B" (Du, Li & Mordatch 2020).
    either:   E(x) = -T log sum_i (w_i / W) exp(-e_i(x) / T), W = sum_i w_i: normal where any model says so; a mixture.

    e_i is the model's anomaly score (standardised on its own normal rows, so that weights compare like with like) or
    its energy (raw), each in the model's own preprocessed space: the change of volume between two spaces is a constant
    where both are affine, and moves no rank.

    Args:
        weights: one each, finite and not 0; all 1 by default. Positive in mode "either".
        scale: "standardised" or "raw".
        temperature: T of "either"; towards 0 the lowest e_i alone counts.

    Raises:
        BadInput: weights that do not fit, or models whose inputs differ; the message names what differs.
    """

    def __init__(
        self,
        detectors: Sequence[Detector],
        weights: Sequence[float] | None = None,
        *,
        mode: Mode = "product",
        scale: Scale = "standardised",
        temperature: float = 1.0,
    ):
        self.detectors = list(detectors)
        self.weights = [1.0] * len(self.detectors) if weights is None else [float(w) for w in weights]
        self.mode, self.scale, self.temperature = mode, scale, temperature
        if mode not in ("product", "either"):
            raise BadInput(f"mode must be 'product' or 'either', got {mode!r}")
        if scale not in ("standardised", "raw"):
            raise BadInput(f"scale must be 'standardised' or 'raw', got {scale!r}")
        if not 0 < temperature < math.inf:
            raise BadInput(f"temperature must be positive and finite, got {temperature:g}")
        _check_weights(self.detectors, self.weights, mode)
        for other in self.detectors[1:]:
            check_same_input(self.detectors[0], other)

    # -- scoring ----------------------------------------------------------------------------------------------------

    def score(self, values: Any, *, fpr: float | None = None, fdr: float | None = None) -> ComposedScores:
        """Scores of rows (N, ...) in user units.

        Args:
            fpr: label rows with p_value <= fpr; the smallest default of the models where neither rate is given.
            fdr: label by Benjamini-Hochberg over these rows instead.

        Raises:
            BadInput: a row does not fit one of the models, or a rate is not in (0, 1), or both are given.
        """
        return self.combine([detector.score(values) for detector in self.detectors], fpr=fpr, fdr=fdr)

    def combine(
        self, scores: Sequence[Scores], *, fpr: float | None = None, fdr: float | None = None
    ) -> ComposedScores:
        """`score` where each model's own scores of the rows are there already."""
        if fpr is not None and fdr is not None:
            raise BadInput("give fpr or fdr, not both")
        if fpr is None and fdr is None:
            fpr = min(d.manifest.calibration.default_fpr for d in self.detectors)
        check_rate(*(("fpr", fpr) if fpr is not None else ("fdr", fdr or 0.0)))
        energy = self._energy([s.energy if self.scale == "raw" else s.anomaly_score for s in scores])
        p_value = self._p_value([s.p_value for s in scores])
        note = NO_P_VALUE if p_value is None else self._note(fpr, fdr, len(energy))
        is_anomaly = None
        if p_value is not None:
            is_anomaly = benjamini_hochberg(p_value, fdr) if fdr is not None else p_value <= fpr
        heights = np.where(np.isnan(energy), -np.inf, -energy)
        rank = 1 + np.searchsorted(np.sort(heights), heights, side="left")
        terms = tuple(
            TermScores(d.name, d.version, w, s.energy, s.anomaly_score, s.p_value)
            for d, w, s in zip(self.detectors, self.weights, scores, strict=True)
        )
        return ComposedScores(energy, p_value, is_anomaly, rank, fpr, fdr, note, terms)

    def _energy(self, each: list[np.ndarray]) -> np.ndarray:
        e = np.stack([one.astype(np.float64) for one in each])  # (K, N)
        weights = np.array(self.weights)[:, None]
        with np.errstate(invalid="ignore"):  # infinitely far by models of opposite signs
            if self.mode == "product":
                return (weights * e).sum(0)
            log_share = np.log(weights / weights.sum())
            return -self.temperature * np.logaddexp.reduce(log_share - e / self.temperature, axis=0)

    def _p_value(self, each: list[np.ndarray]) -> np.ndarray | None:
        """One valid p-value from each model's own, which depend on each other in ways unknown; None for negative
        weights.

        product: the row is normal by every model if it is normal at all. min_i p_i W / w_i is then a p-value: it is at
            most a only where some p_i is at most a w_i / W, and these shares add up to a. It is the Bonferroni rule K
            min p, weighted (Genovese, Roeder & Wasserman 2006). Of the rules that hold under any dependence (Vovk &
            Wang 2020) it is the one that sees a single model's strong objection, as the product's energy does; twice
            the mean would need all models to object.
        either: the row is normal by one model at least, whose own p-value is then valid; the largest is no smaller.
        """
        p = np.stack(each)
        if min(self.weights) < 0:
            return None
        if self.mode == "either":
            return p.max(0)
        return np.minimum(1.0, (p * self._factors[:, None]).min(0))

    @property
    def _factors(self) -> np.ndarray:
        weights = np.array(self.weights)
        return weights.sum() / weights

    def _note(self, fpr: float | None, fdr: float | None, rows: int) -> str | None:
        """Where no row can be flagged, because the calibration sets resolve no p-value so small."""
        finest = np.array([1 / (d.calibration.n + 1) for d in self.detectors])
        smallest = float(finest.max() if self.mode == "either" else (finest * self._factors).min())
        if fpr is not None and smallest > fpr:
            return f"fpr {fpr:g} is below this composition's smallest p-value, {smallest:.2g}: no row can be flagged"
        if fdr is not None and smallest > fdr:
            return (
                f"fdr {fdr:g} cannot flag any row: the smallest p-value of this composition is {smallest:.2g}"
            )
        if fdr is not None and rows and (needed := math.ceil(rows * smallest / fdr)) > 1:
            return f"fdr {fdr:g} over {rows} rows: fewer than {needed} anomalies cannot be flagged"
        return None

    # -- generation -------------------------------------------------------------------------------------------------

    def generate(
        self,
        n: int,
        *,
        seed: int = 0,
        n_steps: int | None = None,
        step_size: float | None = None,
        keep_every: int = 0,
    ) -> Generated:
        """n new samples in user units; see `generate_steps`."""
        options = {"seed": seed, "n_steps": n_steps, "step_size": step_size, "keep_every": keep_every}
        return finish(self.generate_steps(n, **options))

    def generate_steps(
        self,
        n: int,
        *,
        seed: int = 0,
        n_steps: int | None = None,
        step_size: float | None = None,
        keep_every: int = 0,
    ) -> Steps[Progress, None, Generated]:
        """`generate`, pausing after each step; the arguments are those of `Detector.generate_steps`.

        product: Langevin dynamics on sum_i w_i E_i, E_i the energy that the model samples by itself; see
            `ebm.composed_sampling.product_steps`.
        either: each sample's model is drawn with probability w_i / W, then that model's own sampler draws it: an exact
            mixture, for which no partition function needs to be known. The temperature has no part in it.

        Raises:
            Unsupported: a model has no sampler, or (product) no common coordinates exist; says which and why.
            BadInput, BadConfig: an argument out of range. Diverged: a chain left the finite numbers.
        """
        options = {"seed": seed, "n_steps": n_steps, "step_size": step_size, "keep_every": keep_every}
        steps = mixture_steps if self.mode == "either" else product_steps
        return (yield from steps(self.detectors, self.weights, n, **options))


def check_same_input(a: Detector, b: Detector) -> None:
    """Raises BadInput where two models do not take the same rows: another kind, shape, columns or range of pixels."""
    if a.kind != b.kind:
        raise BadInput(f"{_name(a)} takes {_rows(a)}, {_name(b)} takes {_rows(b)}: they share no input")
    if tuple(a.input_shape) != tuple(b.input_shape):
        raise BadInput(
            f"{_name(a)} takes rows of shape {tuple(a.input_shape)}, {_name(b)} of shape {tuple(b.input_shape)}"
        )
    if a.columns is not None and b.columns is not None and a.columns != b.columns:
        pairs = zip(a.columns, b.columns, strict=True)
        j, one, two = next((j, one, two) for j, (one, two) in enumerate(pairs) if one != two)
        how = "the same columns in another order" if set(a.columns) == set(b.columns) else "other columns"
        raise BadInput(f"{_name(b)} has {how} than {_name(a)}: column {j} is {two!r}, not {one!r}")
    types = [{c["name"]: c.get("type") for c in d.preprocessor.schema().get("columns", ())} for d in (a, b)]
    for name, one in types[0].items():
        two = types[1].get(name)
        if one is not None and two is not None and one != two:
            raise BadInput(f"column {name!r} is {one} in {_name(a)}, {two} in {_name(b)}", column=name)
    if a.kind == "image":
        one, two = ((d.preprocessor.schema()["low"], d.preprocessor.schema()["high"]) for d in (a, b))
        if one != two:
            raise BadInput(
                f"{_name(a)} takes pixels from {one[0]:g} to {one[1]:g}, {_name(b)} from {two[0]:g} to {two[1]:g}"
            )


def _check_weights(detectors: list[Detector], weights: list[float], mode: Mode) -> None:
    if not detectors:
        raise BadInput("a composition needs at least one model")
    if len(weights) != len(detectors):
        raise BadInput(f"{len(weights)} weights for {len(detectors)} models")
    for detector, weight in zip(detectors, weights, strict=True):
        if not math.isfinite(weight) or weight == 0:
            raise BadInput(f"{_name(detector)}: weight must be finite and not 0, got {weight:g}")
        if mode == "either" and weight < 0:
            raise BadInput(
                f"{_name(detector)}: weight {weight:g} is negative; mode 'either' takes positive ones"
            )


def _name(detector: Detector) -> str:
    return f"model '{detector.name}' version {detector.version}"


def _rows(detector: Detector) -> str:
    return "pictures" if detector.kind == "image" else "rows of columns"
