"""Ray with two actors against one, beside one process without Ray."""

from __future__ import annotations

from typing import Any

from _batch_data import TABLES, Workplace
from _batch_measure import Pace, row, script, spread, told

MODEL = "breast-cancer"
REACH = 1.7
ENGINES = (0, 1, 2)  # actors; 0: without Ray


def run(place: Workplace, pace: Pace) -> dict[str, Any]:
    file = place.rows(TABLES, pace.ray)
    found: dict[int, dict[str, list[float]]] = {actors: {} for actors in ENGINES}
    for _ in range(pace.rounds):
        for actors in ENGINES:
            output = place.output("out")
            ran = script("_batch_ray_run.py", place.version(MODEL), file, output, actors, pace.chunk)
            place.remove(output)
            for key, value in (ran.said | {"whole_s": ran.wall_s}).items():
                found[actors].setdefault(key, []).append(value)
    figures = {
        str(actors): {key: spread(values) for key, values in one.items()} for actors, one in found.items()
    }
    phase = spread(
        [two / one for one, two in zip(found[1]["rows_per_s"], found[2]["rows_per_s"], strict=True)]
    )
    whole = spread([one / two for one, two in zip(found[1]["whole_s"], found[2]["whole_s"], strict=True)])
    title = f"{MODEL}, {pace.ray:,} rows: Ray, two actors against one"
    rows = [
        row(f"{title}, scoring", f">= {REACH} times", f"{told(phase)} times", phase["median"] >= REACH),
        row(f"{title}, the whole command", "", f"{told(whole)} times"),
    ]
    for actors, one in figures.items():
        name = (
            "one process without Ray"
            if actors == "0"
            else f"Ray, {actors} actor{'s' if actors != '1' else ''}"
        )
        rates, whole_s = told(one["rows_per_s"], "{:,.0f}"), told(one["whole_s"], "{:.1f}")
        reached = f"{rates} rows/s; {whole_s} s in all, {told(one['start_s'], '{:.1f}')} to start"
        rows.append(row(f"{MODEL}: {name}", "", reached))
    return {"rows": rows, "figures": figures, "notes": [NOTE]}


NOTE = (
    "Scoring: from the end of the first chunk to the end of the last, and the rows in between. The whole command has "
    "the start of Ray and of its actors, which import torch, and the publishing."
)
