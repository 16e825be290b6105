"""The detectors compared, by name. To add a variant, add a line to `METHODS`.

Every peer is PyOD's, with its defaults, on columns standardised by the training rows, and seeded where it takes a seed.
`1nn` and `knn5` are PyOD's KNN with the distance to the first and to the fifth neighbour. ECOD and COPOD compute
their tails over the training rows and the whole batch of test rows together, and DIF standardises its
representations within the batch: that is how PyOD defines them, and they profit from it.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from _tabular_data import standardiser

Rows = np.ndarray


class Scorer(NamedTuple):
    """A fitted detector: `score` rises with anomaly; `p_values` are conformal, or None where there are none."""

    score: Callable[[Rows], np.ndarray]
    p_values: Callable[[Rows], np.ndarray] | None = None


class Method(NamedTuple):
    """`fit(train, seed, contaminated)`, what a stored figure was made with, and its place in the queue.

    `version` is part of a stored cell: raise it to have the cells computed anew.
    """

    fit: Callable[[Rows, int, bool], Scorer]
    version: str
    modules: tuple[str, ...]
    slow: int = 0
    peer: bool = True


def pyod(module: str, name: str, slow: int = 0, **options: Any) -> Method:
    """A PyOD detector with its defaults, or with these options; its own share of anomalies moves no ranking."""

    def fit(train: Rows, seed: int, contaminated: bool) -> Scorer:  # noqa: ARG001
        kind = getattr(importlib.import_module(f"pyod.models.{module}"), name)
        seeded = {"random_state": seed} if "random_state" in inspect.signature(kind).parameters else {}
        mean, deviation = standardiser(train)
        model = kind(**options, **seeded).fit((train - mean) / deviation)
        return Scorer(lambda rows: model.decision_function((rows - mean) / deviation))

    try:
        version = f"pyod {importlib.metadata.version('pyod')}"
    except importlib.metadata.PackageNotFoundError:
        version = "pyod"
    return Method(fit, version, (f"pyod.models.{module}",), slow)


def ebm(version: str, **options: Any) -> Method:
    """The library's detector with its default, or with these options, on the rows as they are."""

    def fit(train: Rows, seed: int, contaminated: bool) -> Scorer:
        from ebm import EnergyDetector

        given: dict[str, Any] = options | ({"contamination": "auto"} if contaminated else {})
        model = EnergyDetector(random_state=seed, **given).fit(train)
        return Scorer(lambda rows: -np.asarray(model.score_samples(rows)), model.p_values)

    return Method(fit, version, ("ebm.estimator",), slow=1, peer=False)


OURS = "ebm"
METHODS: dict[str, Method] = {
    OURS: ebm("1"),
    "1nn": pyod("knn", "KNN", n_neighbors=1),
    "knn5": pyod("knn", "KNN", n_neighbors=5),
    "lof": pyod("lof", "LOF"),
    "ocsvm": pyod("ocsvm", "OCSVM"),
    "iforest": pyod("iforest", "IForest"),
    "ecod": pyod("ecod", "ECOD"),
    "copod": pyod("copod", "COPOD"),
    "hbos": pyod("hbos", "HBOS"),
    "inne": pyod("inne", "INNE"),
    "lunar": pyod("lunar", "LUNAR", slow=2),
    "dif": pyod("dif", "DIF", slow=3),
}
CONTAMINATED = [OURS, "iforest", "knn5", "1nn", "lof", "ecod"]


def prepare(chosen: list[str]) -> None:
    """Import what the chosen methods need, and let numba compile what PyOD compiles, before anything is timed.

    Raises:
        SystemExit: A library is missing; says which method needs it.
    """
    rows = np.random.default_rng(0).normal(size=(40, 2))
    for name in chosen:
        try:
            for module in METHODS[name].modules:
                importlib.import_module(module)
        except ImportError as error:
            hint = ": pip install 'ebm-service[pyod]'" if METHODS[name].peer else ""
            raise SystemExit(f"{name}: {error}{hint}") from error
        if name in {"hbos", "ecod", "copod"}:
            METHODS[name].fit(rows, 0, False).score(rows)
