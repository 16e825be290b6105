"""How much one body may hold."""

from __future__ import annotations

from dataclasses import dataclass

from service.errors import limit_exceeded
from service.settings import Settings


@dataclass(frozen=True)
class Limits:
    """`setting` names the limit of rows, which every call has its own of; `nulls` lets cells be missing."""

    rows: int
    setting: str
    decompressed: int
    pixels: int
    nulls: bool = False

    @staticmethod
    def of(settings: Settings, rows: int, setting: str, *, nulls: bool = False) -> Limits:
        return Limits(rows, setting, settings.max_decompressed_bytes, settings.max_pixels, nulls)

    def check_rows(self, rows: int) -> None:
        """Raises a Problem, 422."""
        if rows > self.rows:
            raise limit_exceeded("rows", rows, self.rows, self.setting)
