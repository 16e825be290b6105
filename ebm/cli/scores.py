"""Scores of rows in memory, as JSON writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebm.cli.common import progress
from ebm.errors import BadInput

if TYPE_CHECKING:
    import numpy as np

    from ebm.detector import Detector

CHUNK = 4096  # rows between two updates of the bar; bounds memory, not results


def score_in_chunks(
    detector: Detector, values: np.ndarray, fpr: float | None, fdr: float | None, as_json: bool
) -> dict[str, np.ndarray]:
    """energy, anomaly_score, p_value and is_anomaly of all rows, under a progress bar."""
    import numpy as np

    from ebm.calibration import benjamini_hochberg

    names = ("energy", "anomaly_score", "p_value")
    parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
    with progress(as_json) as bar:
        task = bar.add_task("scoring", total=len(values))
        for start in range(0, len(values), CHUNK):
            try:
                chunk = detector.score(values[start : start + CHUNK])
            except BadInput as error:
                if error.row is None or start == 0:
                    raise
                # The detector counts rows from the start of the chunk.
                message = str(error).replace(f"row {error.row}", f"row {start + error.row}", 1)
                raise BadInput(message, row=start + error.row, column=error.column) from None
            for name in names:
                parts[name].append(getattr(chunk, name))
            bar.update(task, advance=len(chunk.energy))
    scores = {name: np.concatenate(arrays) for name, arrays in parts.items()}
    p = scores["p_value"]
    # Over all rows at once: a false discovery rate by chunk would be another rate.
    scores["is_anomaly"] = benjamini_hochberg(p, fdr) if fdr is not None else p <= (fpr or 0.0)
    return scores


def for_json(scores: dict[str, np.ndarray]) -> dict:
    """Columns as lists; JSON has no infinity, so such energies are null and their rows are named."""
    import numpy as np

    out: dict = {}
    lost = np.zeros(len(scores["p_value"]), dtype=bool)
    for name, values in scores.items():
        finite = np.isfinite(values)
        lost |= ~finite
        cells = values.tolist()
        out[name] = [c if ok else None for c, ok in zip(cells, finite, strict=True)]
    if lost.any():
        out["non_finite_rows"] = np.flatnonzero(lost).tolist()
    return out
