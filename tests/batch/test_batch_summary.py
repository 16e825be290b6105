"""What the summary says, against the same said of all rows at once."""

from __future__ import annotations

import math

import numpy as np
import pytest
from batch_files import random_rows, spec_of, write_rows

from ebm.batch.run import run_batch
from ebm.batch.summary import benjamini_hochberg_threshold, drift_json, summary_of
from ebm.batch.tally import Tally
from ebm.calibration import Calibration, benjamini_hochberg
from ebm.drift import drift_report
from ebm.errors import BadInput
from ebm.score_counts import ScoreCounts


@pytest.mark.parametrize("seed", range(60))
def test_the_threshold_flags_what_benjamini_hochberg_flags(seed: int) -> None:
    rng = np.random.default_rng(seed)
    calibration = Calibration.fit(rng.normal(size=int(rng.integers(1, 400))).round(int(rng.integers(1, 6))))
    scores = rng.normal(size=int(rng.integers(1, 500)))
    scores[rng.random(len(scores)) < rng.uniform(0, 0.5)] += 4
    fdr = float(rng.uniform(0.01, 0.9))
    p = calibration.p_values(scores)
    limit = benjamini_hochberg_threshold(ScoreCounts(calibration).add(scores), fdr)
    flagged = np.zeros(len(p), bool) if limit is None else p <= limit
    assert flagged.tolist() == benjamini_hochberg(p, fdr).tolist()


def test_the_threshold_of_nothing_and_of_a_wrong_rate() -> None:
    counts = ScoreCounts(Calibration.fit([1.0, 2.0]))
    assert benjamini_hochberg_threshold(counts, 0.5) is None
    with pytest.raises(BadInput, match="fdr must lie between 0 and 1"):
        benjamini_hochberg_threshold(counts, 1.0)


def tally_of(known, energy: np.ndarray, chunk: int, n_worst: int = 7) -> tuple[Tally, np.ndarray, np.ndarray]:
    """By chunks through JSON, and scores and p-values of all."""
    score, p = known.measure(energy)
    parts = []
    for start in range(0, len(energy), chunk):
        rows = slice(start, start + chunk)
        tally = Tally(known.calibration, n_worst)
        tally.add(np.arange(len(energy))[rows], energy[rows], score[rows], p[rows])
        parts.append(tally.as_json())
    return Tally.merged(parts, known.calibration, n_worst), score, p


def test_figures_of_parts_are_those_of_the_whole(known) -> None:
    rng = np.random.default_rng(0)
    energy = np.concatenate([rng.normal(size=5000), rng.lognormal(3, 2, 500)]).astype(np.float32)
    energy[[7, 99, 3000]] = 1e6  # a tie among the worst
    energy[[50, 51]] = np.inf
    tally, score, p = tally_of(known, energy, 640)
    found = summary_of(tally, known, rows=5500, fpr=0.05, fdr=None)
    finite = energy[np.isfinite(energy)].astype(np.float64)
    about = found["energy"]
    assert (about["finite"], about["infinite"]) == (5498, 2)
    assert (about["min"], about["max"]) == (finite.min(), finite.max())
    assert about["mean"] == pytest.approx(finite.mean(), rel=1e-12)
    assert about["sd"] == pytest.approx(finite.std(), rel=1e-12)
    unit = known.manifest.calibration
    for q, value in about["quantiles"].items():
        exact = (np.sort(score)[math.ceil(float(q) * 5500) - 1]).item()
        assert abs((value - unit.mean) / unit.sd - exact) <= 0.016 * max(1, abs(exact)), q
    edges, counts = np.array(about["histogram"]["edges"]), about["histogram"]["counts"]
    assert sum(counts) == 5498 and len(counts) <= 40 and (np.diff(edges) > 0).all()
    inside = np.histogram((finite - unit.mean) / unit.sd, (edges - unit.mean) / unit.sd)[0]
    assert np.abs(inside - counts).sum() <= 2, "but for what rounding puts beyond an edge"
    assert [one["row"] for one in found["worst"]] == [
        50,
        51,
        7,
        99,
        3000,
        *np.argsort(-energy, kind="stable")[5:7],
    ]
    assert found["worst"][0] == {"row": 50, "energy": None, "p_value": p[50]}
    report = drift_json(drift_report(known.calibration, score))
    assert found["drift"].keys() == report.keys()
    for name, value in report.items():
        assert found["drift"][name] == (value if isinstance(value, str) else pytest.approx(value)), name


def test_nothing_scored_and_all_alike(known) -> None:
    tally, *_ = tally_of(known, np.zeros(0, np.float32), 1)
    about = summary_of(tally, known, rows=3, fpr=0.05, fdr=None)
    assert (
        about["energy"]["quantiles"] == {} and about["worst"] == [] and about["drift"]["state"] == "unknown"
    )
    tally, *_ = tally_of(known, np.full(10, 2.5, np.float32), 3, n_worst=0)
    about = summary_of(tally, known, rows=10, fpr=0.05, fdr=None)
    assert about["energy"]["sd"] == 0 and set(about["energy"]["quantiles"].values()) == {2.5}
    assert about["energy"]["histogram"]["counts"] == [10] and about["worst"] == []
    tally, *_ = tally_of(known, np.full(10, np.inf, np.float32), 3)
    about = summary_of(tally, known, rows=10, fpr=0.05, fdr=None)
    assert about["energy"]["mean"] is None and about["drift"]["n_infinite"] == 10


def test_the_summary_of_a_run(known, tmp_path) -> None:
    rows = random_rows(4, 700, bad=0.1)
    source = write_rows(rows, tmp_path / "in.parquet")
    small = run_batch(spec_of(source, tmp_path / "a.parquet", rows_per_chunk=33, worst=3), detector=known)
    large = run_batch(spec_of(source, tmp_path / "b.parquet", worst=3), detector=known)
    for found in (small, large):
        scores = known.score(rows.values[rows.good])
        assert found["anomalies"] == scores.is_anomaly.sum() and found["threshold"] == 0.05
        worst = np.flatnonzero(rows.good)[np.argsort(-scores.energy, kind="stable")[:3]]
        assert [one["row"] for one in found["worst"]] == worst.tolist()
        assert found["rejected"] == (~rows.good).sum() and found["model"] == "known"
    assert small["drift"] == large["drift"] and small["energy"]["histogram"] == large["energy"]["histogram"]
    fdr = run_batch(spec_of(source, tmp_path / "c.parquet", fdr=0.2), detector=known)
    scores = known.score(rows.values[rows.good], fdr=0.2)
    assert fdr["anomalies"] == scores.is_anomaly.sum() > 0
    assert fdr["threshold"] == scores.p_value[scores.is_anomaly].max()
