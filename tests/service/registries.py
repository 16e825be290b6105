"""What the tests of the registry share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ebm import artifact
from service.errors import Problem
from service.registry import Registry

ROWS = np.full((2, 6, 5), 8.0)


def run(scenario: Callable[[], Awaitable[Any]]) -> Any:
    async def bounded() -> Any:
        return await asyncio.wait_for(scenario(), 60)

    return asyncio.run(bounded())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


async def refusal(registry: Registry, *asked: str) -> Problem:
    with pytest.raises(Problem) as caught:
        await registry.get(*asked)
    return caught.value


def spoil(path: Path, name: str = artifact.WEIGHTS) -> None:
    (path / name).write_bytes(b"altered")
