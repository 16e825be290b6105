"""Operations that judge rows: score, classify, compare, explain, and products of experts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np

from ebm.calibration import Calibration
from ebm.client.calls import Steps, document_of, get, given, model_path
from ebm.client.parts import in_parts
from ebm.client.rows import Rows
from ebm.client.scores import Scores, joined, scores_of


def score(
    model: str,
    rows: Any,
    *,
    fpr: float | None = None,
    fdr: float | None = None,
    on_error: Literal["fail", "null"] | None = None,
    version: str | None = None,
    resize: bool | None = None,
) -> Steps[Scores]:
    """How unusual each row is.

    More rows than the server takes at once are sent in parts, all to one version of the model; ranks and `fdr` are
    over all of them.

    Args:
        rows: lists of cells, records, an array, a frame (pandas, polars, Arrow), a picture (PNG or JPEG bytes, a path,
            a PIL image) or a list of pictures. In the units of the training data.
        fpr: label rows with p_value <= fpr; the model's default where neither rate is given.
        fdr: label by Benjamini-Hochberg over all rows instead.
        on_error: "null": a row that cannot be scored gets NaN and a line in `errors`, and the others are scored.
        resize: pictures of another size than the model's are fitted to it: reduced where larger, never stretched,
            centred.

    Raises:
        TypeError: rows of a kind that cannot be sent.
        ValueError: fpr and fdr together.
        BadRequest: rows that do not fit; with `row` and `column`.
    """
    if fpr is not None and fdr is not None:
        raise ValueError("give fpr or fdr, not both")
    sent = Rows.of(rows)
    parts = yield from in_parts(
        model,
        "score",
        sent,
        lambda response: scores_of(document_of(response)),
        version=version,
        limit="max_rows",
        params=given({"fpr": fpr, "fdr": fdr, "on_error": on_error, "resize": resize}),
    )
    found = joined(parts, fdr=fdr)
    if len(parts) > 1 and fdr is not None:
        detail = document_of((yield get(model_path(model, found.version))))
        calibration = Calibration(np.zeros(detail["n_calibration"]))  # the note needs their number only
        found = replace(found, note=calibration.note(fdr=fdr, rows=sent.n))
    return found
