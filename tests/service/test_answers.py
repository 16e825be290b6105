"""Choosing a media type, and naming what JSON cannot hold."""

from __future__ import annotations

import numpy as np
import pytest

from service.answers import choose, non_finite
from service.errors import Problem

J, N, P = "application/json", "application/x-npy", "image/png"


@pytest.mark.parametrize(
    "accept, want",
    [
        (None, J),
        ("*/*", J),
        ("", J),
        (N, N),
        ("APPLICATION/X-NPY", N),
        ("image/*", P),
        (f"{J};q=0.5, {N}", N),
        (f"text/html, {P};q=0.3, */*;q=0.1", P),
        (f"*/*, {J};q=0", N),
        (f"application/*;q=0.2, {P};q=0.1", J),
        (f"{N};q=oops, {P}", P),
    ],
)
def test_the_clients_favourite_wins(accept: str | None, want: str) -> None:
    assert choose(accept, [J, N, P]) == want


@pytest.mark.parametrize("accept", ["text/html", f"{J};q=0", "nonsense"])
def test_nothing_fits(accept: str) -> None:
    with pytest.raises(Problem) as caught:
        choose(accept, [J])
    assert caught.value.status == 406


def test_each_number_that_json_cannot_hold_is_named() -> None:
    found = non_finite(a=np.array([1, np.nan]), b=np.array([-np.inf, np.inf]))
    assert [tuple(one.values()) for one in found] == [
        (1, "a", "NaN"),
        (0, "b", "-Infinity"),
        (1, "b", "Infinity"),
    ]
