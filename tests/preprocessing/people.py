"""A table with a column of every type, for the tests of mixed preprocessing."""

import datetime as dt

import numpy as np
import pandas as pd

N = 400


def frame(seed: int = 0, n: int = N) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    start = pd.Timestamp("2024-01-01")
    return pd.DataFrame(
        {
            "age": rng.integers(18, 90, n),
            "weight": np.where(rng.random(n) < 0.1, np.nan, rng.normal(70, 10, n)),
            "smoker": pd.array(np.where(rng.random(n) < 0.2, None, rng.random(n) < 0.3), dtype="boolean"),
            "city": rng.choice(["Bonn", "Rome", "Oslo", None], n, p=[0.5, 0.3, 0.1, 0.1]),
            "street": rng.choice([f"street {i}" for i in range(60)], n),
            "seen": start + pd.to_timedelta(rng.integers(0, 60 * 86400, n), unit="s"),
            "born": [dt.date(1950, 1, 1) + dt.timedelta(days=int(k)) for k in rng.integers(0, 9999, n)],
            "at": [dt.time(int(h), 30) for h in rng.integers(6, 20, n)],
            "unit": "kg",
            "nothing": [None] * n,
        }
    )


def row(**changes) -> list[dict]:
    return [{**usual(), **changes}]


def usual() -> dict:
    return {
        "age": 50, "weight": 70.5, "smoker": False, "city": "Bonn", "street": "street 1", "unit": "kg",
        "seen": "2024-01-20T12:00:00", "born": "1970-05-01", "at": "12:30", "nothing": None,
    }  # fmt: skip
