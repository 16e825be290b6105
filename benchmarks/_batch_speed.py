"""Rows a second of `ebm score` beside the same model in process, and beside what scikit-learn's detectors do."""

from __future__ import annotations

from typing import Any

from _batch_data import MODELS, TABLES, Layout, Workplace
from _batch_measure import Pace, Ran, row, score, script, spread, told

LAYOUTS: tuple[Layout, ...] = ("parquet", "folder", "csv")
REACH = 0.9
PEERS = {"isolation-forest": "isolation forest, score_samples", "knn": "kNN, 5 neighbours"}


def run(place: Workplace, pace: Pace) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    figures: dict[str, Any] = {}
    for model, data in MODELS.items():
        figures[model] = _model(place, model, data, pace)
        rows += _told(model, figures[model])
    figures["peers"] = _peers(place, pace)
    for name, one in figures["peers"].items():
        rows.append(row(f"beside: {PEERS[name]}", "", f"{told(one['rows_per_s'], '{:,.0f}')} rows/s"))
    return {"rows": rows, "figures": figures, "notes": [NOTE]}


NOTE = (
    "In process: `detector.score` on rows that are in memory, batches of 65,536, one thread. Scoring: from the "
    "first look at the file until the output is published, as the summary says (`seconds`); the whole command has the "
    "start of Python, torch and the model too. Peers read the same columns of the same file and write nothing."
)


def _model(place: Workplace, model: str, data: str, pace: Pace) -> dict[str, Any]:
    """By turns in each round: in process, then each layout; ratios are within a round."""
    n = pace.rows[model]
    files = {
        layout: place.rows(data, min(n, pace.csv) if layout == "csv" else n, layout) for layout in LAYOUTS
    }
    inside: list[float] = []
    found: dict[str, dict[str, list[float]]] = {layout: {} for layout in LAYOUTS}
    for _ in range(pace.rounds):
        said = script("_batch_inprocess.py", place.version(model), files["parquet"], data).said
        inside.append(said["rows"] / said["seconds"])
        for layout in LAYOUTS:
            suffix = "" if layout == "folder" else f".{layout}"
            output = place.output(f"out{suffix}")
            ran = score(place.models, model, files[layout], output)
            place.remove(output)
            # Other rows of the same draws: about as many anomalies, or the two did not do the same.
            if layout == "parquet" and ran.said["anomalies"] != said["anomalies"]:
                raise RuntimeError(
                    f"{model}: {ran.said['anomalies']} anomalies, in process {said['anomalies']}"
                )
            for key, value in _figures(ran, inside[-1]).items():
                found[layout].setdefault(key, []).append(value)
    by_layout = {
        layout: {key: spread(values) for key, values in figures.items()} for layout, figures in found.items()
    }
    return {"n": n, "in_process": spread(inside), "layouts": by_layout}


def _figures(ran: Ran, inside: float) -> dict[str, float]:
    n = ran.said["rows"]
    return {
        "rows_per_s": n / ran.said["seconds"],
        "ratio": n / ran.said["seconds"] / inside,
        "whole_rows_per_s": n / ran.wall_s,
        "rows_per_cpu_s": n / ran.cpu_s,
        "peak_mib": ran.peak_mib,
        "start_s": ran.wall_s - ran.said["seconds"],
    }


def _told(model: str, figures: dict[str, Any]) -> list[dict[str, Any]]:
    inside = told(figures["in_process"], "{:,.0f}")
    rows = [row(f"{model}, {figures['n']:,} rows: in process", "", f"{inside} rows/s")]
    for layout, one in figures["layouts"].items():
        counted = layout != "csv" and MODELS[model] == TABLES
        reached = (
            f"{told(one['ratio'])} of in process: {told(one['rows_per_s'], '{:,.0f}')} rows/s; the whole command "
            f"{told(one['whole_rows_per_s'], '{:,.0f}')} rows/s, {told(one['rows_per_cpu_s'], '{:,.0f}')} rows a "
            f"CPU second, {told(one['peak_mib'], '{:,.0f}')} MiB"
        )
        met = one["ratio"]["median"] >= REACH if counted else None
        rows.append(
            row(f"{model}: ebm score, {layout}", f">= {REACH} of in process" if counted else "", reached, met)
        )
    return rows


def _peers(place: Workplace, pace: Pace) -> dict[str, Any]:
    found: dict[str, list[float]] = {name: [] for name in PEERS}
    for _ in range(pace.rounds):
        for name in PEERS:
            file = place.rows(TABLES, pace.knn if name == "knn" else pace.peer)
            said = script("_batch_peer.py", name, file).said
            found[name].append(said["rows"] / said["seconds"])
    return {name: {"rows_per_s": spread(values)} for name, values in found.items()}
