"""Dates, timestamps and times of day."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, Self

import numpy as np
import pyarrow as pa
from pydantic import Field

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
from ebm.preprocessing.columns.numeric import moments

DAY = 86_400.0
YEAR_1, YEAR_9999 = -62_135_596_800.0, 253_402_214_400.0  # the first and the last midnight of a calendar
Cosine = Annotated[float, Field(ge=-1, le=1)]
Point = tuple[Cosine, Cosine]  # mean cosine and sine of an angle


def _circle(phase: np.ndarray) -> Point:
    angle = 2 * np.pi * phase
    return (float(np.cos(angle).mean()), float(np.sin(angle).mean())) if len(phase) else (0.0, 0.0)


def _scale(centre: Point) -> float:
    """Two points of the unit circle are 2 (1 - R^2) apart in the mean square, with R the length of their mean."""
    spread = 1.0 - centre[0] ** 2 - centre[1] ** 2
    return 1.0 / max(spread, 4.0 / MAX_DISTANCE**2) ** 0.5


def _cyclic(phase: np.ndarray, centre: Point) -> list[np.ndarray]:
    angle, s = 2 * np.pi * phase, _scale(centre)
    return [s * (np.cos(angle) - centre[0]), s * (np.sin(angle) - centre[1])]


class Datetime(Column):
    """t = (seconds since 1970 - mean) / sd; then, where the training span covers them, s (cos, sin) about their mean

    of the hour of the day (timestamps over 2 days or more) and of the day of the week (14 days or more), both in
    UTC.  A time zone shifts all hours alike, which no distance notices.  Times without a zone are taken as UTC.
    """

    type: Literal["datetime", "date"] = "datetime"
    timezone: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_+:/-]{1,64}$")
    whole_seconds: bool = True
    min: float | None = None
    max: float | None = None
    mean: float = 0.0
    sd: float = Field(default=1.0, gt=0)
    hour: Point | None = None
    weekday: Point | None = None

    @classmethod
    def fit(cls, name: str, cells: pa.Array) -> Self:
        kind = cells.type
        is_date = pa.types.is_date(kind)
        timezone = kind.tz if pa.types.is_timestamp(kind) else None
        learner = cls(name=name, type="date" if is_date else "datetime", timezone=timezone)
        cells = learner.accept(cells)
        nulls = null_share(cells)
        t = _seconds(cells.drop_null())
        if len(t) == 0:
            return learner.model_copy(update={"nulls": nulls})
        figures: dict[str, Any] = dict(moments(t))
        span = figures["max"] - figures["min"]
        return learner.model_copy(
            update={
                **figures,
                "nulls": nulls,
                "whole_seconds": bool((t == np.floor(t)).all()),
                "hour": _circle(_hour(t)) if span >= 2 * DAY and not is_date else None,
                "weekday": _circle(_weekday(t)) if span >= 14 * DAY else None,
            }
        )

    @property
    def width(self) -> int:
        return 1 + 2 * (self.hour is not None) + 2 * (self.weekday is not None) + self.nullable

    @property
    def discrete(self) -> tuple[bool, ...]:
        return (False,) * (self.width - self.nullable) + (True,) * self.nullable

    @property
    def constant(self) -> bool:
        return self.nulls == 1 or (self.nulls == 0 and self.min == self.max)

    @property
    def arrow_type(self) -> pa.DataType:
        return pa.timestamp("us")

    def accept(self, cells: pa.Array) -> pa.Array:
        """Microseconds in UTC."""
        cells = plain(cells)
        kind = cells.type
        if is_text(kind):
            try:
                return pc.cast(cells, self.arrow_type)
            except pa.ArrowException:  # zones, which this cast does not take, or a cell that is no time
                return self.accept_python(cells.to_pylist())
        if not (pa.types.is_timestamp(kind) or pa.types.is_date(kind) or pa.types.is_null(kind)):
            raise refuse_kind(cells, "a date and time")
        try:
            cells = pc.cast(cells, pa.timestamp("us", getattr(kind, "tz", None)), safe=False)
            return pc.cast(cells, self.arrow_type)  # drops the zone, keeps the instant
        except pa.ArrowException:
            raise CellError(0, "is a time out of range") from None

    def accept_python(self, cells: Sequence[Any]) -> pa.Array:
        return pa.array(_parsed(cells, _moment, "an ISO 8601 date and time"), self.arrow_type)

    def encode(self, cells: pa.Array) -> np.ndarray:
        null = nulls_of(cells)
        t = _seconds(cells.fill_null(0) if null.any() else cells)
        parts = [(t - self.mean) / self.sd]
        if self.hour is not None:
            parts += _cyclic(_hour(t), self.hour)
        if self.weekday is not None:
            parts += _cyclic(_weekday(t), self.weekday)
        return self.add_indicator([np.where(null, 0.0, part) for part in parts], null)

    def decode(self, z: np.ndarray) -> pa.Array:
        t = np.clip(self.mean + self.sd * z[:, 0].astype(np.float64), YEAR_1, YEAR_9999)
        null = self.decoded_nulls(z)
        if self.type == "date":
            return pa.array(np.rint(t / DAY).astype(np.int32), mask=null).cast(pa.date32())
        t = np.rint(t) if self.whole_seconds else t
        return pa.array((t * 1e6).astype(np.int64), mask=null).cast(pa.timestamp("us", self.timezone))

    def describe(self) -> dict[str, Any]:
        ends = {"min": _iso(self.min, self.type), "max": _iso(self.max, self.type)}
        cycles = [n for n, at in (("hour", self.hour), ("weekday", self.weekday)) if at is not None]
        return self.head(self.type, timezone=self.timezone, cycles=cycles, **ends)

    @property
    def example(self) -> Any:
        return _iso(self.mean, self.type)


class Time(Column):
    """A time of day: s (cos, sin) of the day's phase, about their mean."""

    type: Literal["time"] = "time"
    centre: Point = (0.0, 0.0)
    varies: bool = True

    @classmethod
    def fit(cls, name: str, cells: pa.Array) -> Self:
        cells = cls(name=name).accept(cells)
        phase = _phase(cells.drop_null())
        varies = len(phase) > 0 and bool(phase.min() < phase.max())
        return cls(name=name, nulls=null_share(cells), centre=_circle(phase), varies=varies)

    @property
    def width(self) -> int:
        return 2 + self.nullable

    @property
    def discrete(self) -> tuple[bool, ...]:
        return (False, False, True)[: self.width]

    @property
    def constant(self) -> bool:
        return not self.varies and self.nulls in (0, 1)

    @property
    def arrow_type(self) -> pa.DataType:
        return pa.time64("us")

    def accept(self, cells: pa.Array) -> pa.Array:
        if is_text(cells.type):
            return self.accept_python(plain(cells).to_pylist())
        if not (pa.types.is_time(cells.type) or pa.types.is_null(cells.type)):
            raise refuse_kind(cells, "a time of day")
        return pc.cast(cells, self.arrow_type, safe=False)

    def accept_python(self, cells: Sequence[Any]) -> pa.Array:
        return pa.array(_parsed(cells, _time_of_day, "an ISO 8601 time of day"), self.arrow_type)

    def encode(self, cells: pa.Array) -> np.ndarray:
        null = nulls_of(cells)
        parts = _cyclic(_phase(cells.fill_null(datetime.time()) if null.any() else cells), self.centre)
        return self.add_indicator([np.where(null, 0.0, part) for part in parts], null)

    def decode(self, z: np.ndarray) -> pa.Array:
        s = _scale(self.centre)
        angle = np.arctan2(z[:, 1] / s + self.centre[1], z[:, 0] / s + self.centre[0])
        seconds = np.rint((angle / (2 * np.pi)) % 1.0 * DAY) % DAY
        return pa.array((seconds * 1e6).astype(np.int64), mask=self.decoded_nulls(z)).cast(self.arrow_type)

    def describe(self) -> dict[str, Any]:
        return self.head("time")

    @property
    def example(self) -> Any:
        seconds = round(np.arctan2(self.centre[1], self.centre[0]) / (2 * np.pi) % 1.0 * DAY) % int(DAY)
        return (datetime.datetime.min + datetime.timedelta(seconds=seconds)).time().isoformat()


def looks_like_moments(cells: pa.Array) -> bool:
    """Whether text cells are all ISO 8601 dates: frames read from CSV files hold dates as text."""
    known = cells.drop_null()
    shape = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}([.,]\d{1,9})?)?)?(Z|[+-]\d{2}:?\d{2})?$"
    if len(known) == 0 or not pc.all(pc.match_substring_regex(known, shape)).as_py():
        return False
    try:
        Datetime(name="").accept(known)
    except CellError:
        return False
    return True


def _seconds(cells: pa.Array) -> np.ndarray:
    """(N,) float64 since 1970."""
    return cells.cast(pa.int64()).to_numpy(zero_copy_only=False) / 1e6


def _phase(cells: pa.Array) -> np.ndarray:
    return _seconds(cells) / DAY


def _hour(t: np.ndarray) -> np.ndarray:
    return t / DAY % 1.0


def _weekday(t: np.ndarray) -> np.ndarray:
    return np.floor(t / DAY) % 7 / 7


def _parsed(cells: Sequence[Any], parse: Callable[[Any], Any], wanted: str) -> list[Any]:
    out = []
    for row, cell in enumerate(cells):
        try:
            # x != x: NaN and pandas' NaT are nulls, too.
            out.append(None if cell is None or cell != cell else parse(cell))
        except (ValueError, TypeError, OverflowError):
            raise CellError(row, f"is {clip_text(cell)}, not {wanted}") from None
    return out


def _moment(cell: Any) -> datetime.datetime:
    if isinstance(cell, str):
        cell = datetime.datetime.fromisoformat(cell.strip())
    if not isinstance(cell, datetime.datetime):
        if not isinstance(cell, datetime.date):
            raise ValueError
        cell = datetime.datetime(cell.year, cell.month, cell.day)
    return cell if cell.tzinfo is None else cell.astimezone(datetime.UTC).replace(tzinfo=None)


def _time_of_day(cell: Any) -> datetime.time:
    if isinstance(cell, str):
        cell = datetime.time.fromisoformat(cell.strip())
    if not isinstance(cell, datetime.time):
        raise ValueError
    return cell.replace(tzinfo=None)


def _iso(seconds: float | None, kind: str) -> str | None:
    if seconds is None:
        return None
    moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(
        seconds=round(min(max(seconds, YEAR_1), YEAR_9999))
    )
    return moment.date().isoformat() if kind == "date" else moment.isoformat()
