"""Where jobs are kept, in both kinds of database; and rows to score."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from job_harness import Postgres, make_settings, opened, postgres_programs, why_no_postgres

from service.jobs.store import Jobs
from service.settings import Settings


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    reason = why_no_postgres()
    programs = postgres_programs()
    if reason is not None or programs is None:
        pytest.skip(reason or "PostgreSQL is not installed")
    server = Postgres(programs)
    yield server
    server.close()


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str | None:
    """None: a file of SQLite."""
    return None if request.param == "sqlite" else request.getfixturevalue("postgres").fresh()


@pytest.fixture
def job_settings(tmp_path: Path, database_url: str | None) -> Settings:
    return make_settings(tmp_path, database_url)


@pytest.fixture
def store(job_settings: Settings) -> Iterator[Jobs]:
    with opened(job_settings) as jobs:
        yield jobs
