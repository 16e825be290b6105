"""Peak memory of `ebm score` on a file, and on one of twenty times the rows."""

from __future__ import annotations

from typing import Any

from _batch_data import TABLES, Workplace
from _batch_measure import Pace, row, score

MODEL = "network"  # the fastest: reading and writing have the least time to keep up
REACH = 1.1


def run(place: Workplace, pace: Pace) -> dict[str, Any]:
    figures: dict[str, float] = {}
    for n in pace.memory:
        file = place.rows(TABLES, n)
        output = place.output("out.parquet")
        figures[str(n)] = score(place.models, MODEL, file, output).peak_mib
        place.remove(output)
        if n == max(pace.memory):
            place.remove(file)  # gigabytes
    few, many = (figures[str(n)] for n in pace.memory)
    titles = [f"{n:,} rows" for n in pace.memory]
    reached = f"{many / few:.3f} times: {few:,.0f} and {many:,.0f} MiB"
    title = f"{MODEL}, Parquet: peak memory of {titles[1]} against {titles[0]}"
    return {"rows": [row(title, f"<= {REACH} times", reached, many / few <= REACH)], "figures": figures}
