"""Five sets in the plane whose density is known: what a picture can show, and what a score field can be held against.

All are in user units in which each coordinate has mean about 0 and sd 1. `ebm.data.toy_density` has their densities.

    moons: half circles (cos t, sin t) and (1 - cos t, 1/2 - sin t), t ~ U(0, pi), stretched to unit spread, then
        noise N(0, .13^2 I). After scikit-learn's `make_moons`. Label: which moon.
    pinwheel: Gaussian petals (r, b), r ~ N(1, .3^2), b ~ N(0, .1^2), turned by 2 pi k / 5 + .25 exp |(r, b)|. After
        Johnson, Duvenaud, Wiltschko, Datta and Adams (2016), whose twist goes by r; by the radius it keeps areas, and
        the density of a petal is that of its Gaussian, untwisted. Label: the petal k.
    rings: circles of radii 1, 2, 3, one as likely as another, with noise N(0, .2^2 I), then scaled. After the circles
        of Grathwohl, Chen, Bettencourt, Sutskever and Duvenaud (2019, FFJORD), of which there are four, thinner ones.
        Label: the ring.
    eight_gaussians: N(4 (cos pi k / 4, sin pi k / 4), .5^2 I), k = 0, ..., 7, scaled (FFJORD, too). Label: k.
    checkerboard: uniform on the eight dark squares of a 4 x 4 board (FFJORD, too), scaled, then noise N(0, .1^2 I),
        without which it had no score function. Label: the column, 0 to 3.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from pydantic import Field

from ebm.config import Frozen
from ebm.data.table import Table, make_table

ToyName = Literal["moons", "pinwheel", "rings", "eight_gaussians", "checkerboard"]
TOY_NAMES: tuple[ToyName, ...] = get_args(ToyName)

# Of the moons: noise, centre of the curves, and what stretches them so that curve and noise have unit variance.
MOON_NOISE = 0.13
MOON_CENTRE = np.array([0.5, 0.25])
_CURVE_VARIANCE = np.array([0.5 + 0.25, 0.5 - (2 / math.pi) ** 2 + (2 / math.pi - 0.25) ** 2])
MOON_STRETCH = np.sqrt((1 - MOON_NOISE**2) / _CURVE_VARIANCE)
# Of the pinwheel, in the units of the paper, and the scale that goes with it.
PETALS, RADIAL_SD, TANGENTIAL_SD, TWIST = 5, 0.3, 0.1, 0.25
PINWHEEL_SCALE = math.sqrt(2 / (1 + RADIAL_SD**2 + TANGENTIAL_SD**2))
_RING_SCALE = 1 / math.sqrt((1 + 4 + 9) / 6 + 0.2**2)
RADII, RING_NOISE = _RING_SCALE * np.array([1.0, 2.0, 3.0]), _RING_SCALE * 0.2
_MODE_SCALE = 1 / math.sqrt(4**2 / 2 + 0.5**2)
MODE_RADIUS, MODE_SD = _MODE_SCALE * 4, _MODE_SCALE * 0.5
EDGE_NOISE = 0.1
SQUARE = math.sqrt((1 - EDGE_NOISE**2) * 12) / 4  # the side: a board of side L has variance L^2 / 12


def draw_toy(name: ToyName, n: int, seed: int | np.random.Generator = 0) -> tuple[np.ndarray, np.ndarray]:
    """n independent rows of the set: x (n, 2) float32 and labels (n,) int64. The same seed gives the same rows."""
    random = np.random.default_rng(seed)
    if name == "moons":
        x, labels = _moons(n, random)
    elif name == "pinwheel":
        x, labels = _pinwheel(n, random)
    elif name == "rings":
        labels = random.integers(3, size=n)
        x = RADII[labels][:, None] * _direction(random.uniform(0, 2 * np.pi, n))
        x = x + RING_NOISE * random.standard_normal((n, 2))
    elif name == "eight_gaussians":
        labels = random.integers(8, size=n)
        x = MODE_RADIUS * _direction(np.pi / 4 * labels) + MODE_SD * random.standard_normal((n, 2))
    else:
        labels = random.integers(4, size=n)
        row = 2 * random.integers(2, size=n) + labels % 2  # the dark squares of a column: every second
        corner = np.stack([labels, row], 1) - 2.0
        x = SQUARE * (corner + random.random((n, 2))) + EDGE_NOISE * random.standard_normal((n, 2))
    return x.astype(np.float32), labels.astype(np.int64)


def _direction(angle: np.ndarray) -> np.ndarray:
    return np.stack([np.cos(angle), np.sin(angle)], -1)


def moon_curves(t: np.ndarray) -> np.ndarray:
    """Both moons without noise at t (n,): (2, n, 2)."""
    upper = _direction(t)
    curves = np.stack([upper, np.array([1.0, 0.5]) - upper])
    return MOON_STRETCH * (curves - MOON_CENTRE)


def _moons(n: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    labels = random.integers(2, size=n)
    curves = moon_curves(random.uniform(0, np.pi, n))
    return curves[labels, np.arange(n)] + MOON_NOISE * random.standard_normal((n, 2)), labels


def _pinwheel(n: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    labels = random.integers(PETALS, size=n)
    petal = random.standard_normal((n, 2)) * [RADIAL_SD, TANGENTIAL_SD] + [1.0, 0.0]
    radius = np.hypot(*petal.T)
    angle = np.arctan2(petal[:, 1], petal[:, 0]) + 2 * np.pi / PETALS * labels + TWIST * np.exp(radius)
    return PINWHEEL_SCALE * radius[:, None] * _direction(angle), labels


class ToyData(Frozen):
    """`n` rows of the set `name`, drawn with `seed`; labels say which part of the set each row is of.

    normal: the labels regarded as normal; None (the default) means all.
    """

    kind: Literal["toy"] = "toy"
    name: ToyName
    n: int = Field(default=2000, ge=2, le=1_000_000)
    seed: int = Field(default=0, ge=0)
    normal: tuple[int, ...] | None = Field(default=None, min_length=1)

    def load(self, base_dir: Path, cells: Any = "numbers") -> Table:
        del base_dir, cells  # no file, and numbers only
        x, labels = draw_toy(self.name, self.n, self.seed)
        return make_table(x, f"toy {self.name}", columns=["x", "y"], labels=labels)
