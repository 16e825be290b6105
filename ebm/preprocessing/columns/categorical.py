"""Text levels, and columns that were null throughout."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from ebm.preprocessing.checks import clip_text
from ebm.preprocessing.columns.base import (
    MAX_DISTANCE,
    CellError,
    Column,
    is_text,
    null_share,
    nulls_of,
    pc,
    plain,
    refuse_kind,
)

MAX_RARE = 10_000  # rarer levels that are remembered by name
OPEN_SHARE, OPEN_COUNT = 0.05, 10
UNSEEN = 7**0.5  # an unseen level is twice as far from every seen one as two seen ones are from each other


class Categorical(Column):
    """One coordinate a level, z_k = s (1[x = k] - p_k), with p_k the level's share of the training rows.

    Two different levels are s sqrt(2) apart; s^2 = 1 / (1 - sum p^2) makes the mean squared distance of two random
    training rows 2, and is bounded so that s sqrt(2) is at most 6.  Null is a level where it occurred.  The levels
    beyond the `max_levels` most frequent ones share the level "other".

    An unseen level has a coordinate of its own, sqrt(7) s, which is 0 for all training rows: its distance to any
    seen level is s sqrt(8).  But where levels keep turning up (ids, free text), a new one is no news: by Good and
    Turing's estimate (Good, 1953) the chance of an unseen level is the share of rows whose level occurs once.
    Where at least 10 rows and 5% of them are such, the column is `open`: those levels, and any unseen one, are "other".
    """

    type: Literal["categorical"] = "categorical"
    levels: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()
    other: float = Field(default=0.0, ge=0, le=1)
    rare: tuple[str, ...] = ()
    open: bool = False
    integer: bool = False

    @classmethod
    def fit(cls, name: str, cells: pa.Array, max_levels: int) -> Self:
        integer = pa.types.is_integer(cells.type)
        learner = cls(name=name, integer=integer)
        cells = learner.accept(cells)
        n, nulls = len(cells), null_share(cells)
        counted = pc.value_counts(cells.drop_null())
        counts = counted.field("counts").to_numpy(zero_copy_only=False)
        order = np.argsort(-counts, kind="stable")  # ties in order of first occurrence
        texts = counted.field("values").take(pa.array(order)).to_pylist()
        counts = counts[order]
        once = int((counts == 1).sum())
        is_open = once >= max(OPEN_COUNT, OPEN_SHARE * n)
        own = min(max_levels, int((counts > 1).sum()) if is_open else len(counts))
        is_open |= len(counts) - own > MAX_RARE
        return cls(
            name=name,
            nulls=nulls,
            levels=tuple(texts[:own]),
            shares=tuple((counts[:own] / n).tolist()),
            other=float(counts[own:].sum() / n),
            rare=() if is_open else tuple(texts[own:]),
            open=is_open,
            integer=integer,
        )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.shares) != len(self.levels) or len(set(self.levels) | set(self.rare)) < len(
            self.levels
        ) + len(self.rare):
            raise ValueError("levels must be distinct, and have a share each")
        if (
            not 0 <= sum(self.shares) + self.other + self.nulls <= 1 + 1e-9
            or min(self.shares, default=0.0) < 0
        ):
            raise ValueError("shares must be positive and sum to 1")
        return self

    @cached_property
    def probabilities(self) -> np.ndarray:
        """Of the levels, then of "other" and null where they are coordinates."""
        more = [self.other] * self._has_other + [self.nulls] * self.nullable
        return np.array([*self.shares, *more], dtype=np.float64)

    @cached_property
    def value_set(self) -> pa.Array:
        return pa.array(self.levels, pa.string())

    @cached_property
    def rare_set(self) -> pa.Array:
        return pa.array(self.rare, pa.string())

    @property
    def _has_other(self) -> bool:
        return self.open or self.other > 0

    @property
    def scale(self) -> float:
        spread = 1.0 - float((self.probabilities**2).sum())
        return 1.0 / max(spread, 2.0 / MAX_DISTANCE**2) ** 0.5

    @property
    def width(self) -> int:
        return len(self.levels) + self._has_other + self.nullable + (not self.open)

    @property
    def discrete(self) -> tuple[bool, ...]:
        return (True,) * self.width

    @property
    def constant(self) -> bool:
        return bool(self.probabilities.max(initial=0.0) == 1.0)

    @property
    def arrow_type(self) -> pa.DataType:
        return pa.string()

    def accept(self, cells: pa.Array) -> pa.Array:
        cells = plain(cells)
        kind = cells.type
        if is_text(kind):
            return cells
        if pa.types.is_floating(kind):
            # A frame turns whole numbers with nulls into floats: 3.0 is the level "3".
            x = cells.to_numpy(zero_copy_only=False)
            cells = pa.array(x, from_pandas=True)
            if (np.isnan(x) | ((x == np.rint(x)) & (np.abs(x) < 2**53))).all():
                cells = cells.cast(pa.int64())
        elif not (pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind)):
            raise refuse_kind(cells, "text")
        return cells.cast(pa.string())

    def accept_python(self, cells: Sequence[Any]) -> pa.Array:
        out: list[str | None] = []
        for row, cell in enumerate(cells):
            if cell is None or (isinstance(cell, float) and cell != cell):
                out.append(None)
            elif isinstance(cell, str):
                out.append(cell)
            elif isinstance(cell, bool | np.bool_):
                out.append("true" if cell else "false")  # as Arrow writes them
            elif isinstance(cell, int | float | np.number):
                out.append(str(int(cell)) if float(cell).is_integer() else str(cell))
            else:
                raise CellError(row, f"is {clip_text(cell)}, not text")
        try:
            return pa.array(out, pa.string())
        except (UnicodeError, pa.ArrowException):
            bad = next(i for i, text in enumerate(out) if text is not None and not _is_unicode(text))
            raise CellError(bad, "is not valid Unicode text") from None

    def encode(self, cells: pa.Array) -> np.ndarray:
        own, n = len(self.levels), len(cells)
        codes = pc.fill_null(pc.index_in(cells, value_set=self.value_set, skip_nulls=True), -1)
        codes = codes.to_numpy(zero_copy_only=False)
        null = nulls_of(cells)
        lost = (codes < 0) & ~null
        z = np.zeros((n, self.width))
        known = np.flatnonzero(codes >= 0)
        z[known, codes[known]] = 1.0
        if lost.any():
            if self.open:
                z[lost, own] = 1.0
            else:
                at = np.flatnonzero(lost)
                rare = pc.is_in(cells.take(pa.array(at)), value_set=self.rare_set)
                rare = rare.to_numpy(zero_copy_only=False)
                if self._has_other:
                    z[at[rare], own] = 1.0
                z[at[~rare], -1] = UNSEEN
        if self.nullable:
            z[null, own + self._has_other] = 1.0
        z[:, : len(self.probabilities)] -= self.probabilities
        if not self.nullable and null.any():
            z[null] = 0.0
        return z * self.scale

    def decode(self, z: np.ndarray) -> pa.Array:
        p = self.probabilities
        if len(p) == 0:
            return pa.nulls(len(z), pa.string())
        codes = (z[:, : len(p)] / self.scale + p).argmax(axis=1)
        # A rarer level stands for all that share "other"; an open column does not know any.
        texts = [*self.levels, *([self.rare[0] if self.rare else "other"] if self._has_other else [])]
        return pa.array([*texts, *([None] if self.nullable else [])], pa.string()).take(pa.array(codes))

    def describe(self) -> dict[str, Any]:
        levels = dict(zip(self.levels, self.shares, strict=True))
        return self.head("categorical", levels=levels, other=self.other, open=self.open)

    @property
    def example(self) -> Any:
        return self.levels[0] if self.levels else (None if self.nullable else "")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeError:
        return False
    return True


class Empty(Column):
    """A column that held nothing but nulls and has no type.  It takes anything: 0 for a null; any value is as far
    from that as a value of a discrete feature can be."""

    type: Literal["null"] = "null"
    nulls: float = Field(default=1.0, ge=1, le=1)

    @property
    def width(self) -> int:
        return 1

    @property
    def discrete(self) -> tuple[bool, ...]:
        return (True,)

    @property
    def constant(self) -> bool:
        return True

    @property
    def arrow_type(self) -> pa.DataType:
        return pa.bool_()

    def accept(self, cells: pa.Array) -> pa.Array:
        """True where there is a value."""
        null = cells.is_null(nan_is_null=pa.types.is_floating(cells.type))
        return pc.if_else(null, pa.scalar(None, pa.bool_()), True)

    def accept_python(self, cells: Sequence[Any]) -> pa.Array:
        return pa.array([None if c is None or c != c else True for c in cells], pa.bool_())

    def encode(self, cells: pa.Array) -> np.ndarray:
        return np.where(nulls_of(cells), 0.0, MAX_DISTANCE)[:, None]

    def decode(self, z: np.ndarray) -> pa.Array:
        return pa.nulls(len(z))

    def describe(self) -> dict[str, Any]:
        return self.head("null")

    @property
    def example(self) -> Any:
        return None
