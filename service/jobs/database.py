"""The database of jobs: DBOS's tables and two of our own, in a file of SQLite or a schema of PostgreSQL.

SQLAlchemy and DBOS take most of a second to import: this module is imported where a job is first asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from ebm.errors import EBMError
from service.jobs.folders import data_dir
from service.settings import Settings

APPLICATION = "ebm-service"
SCHEMA = "ebm"  # of PostgreSQL: ours and DBOS's tables
FILE = "jobs.sqlite"
LOCK = 7_310_415_911  # of PostgreSQL: who makes the tables
CONNECT_S = 5

metadata = sa.MetaData(schema=SCHEMA)

# One row a job, beside DBOS's row of the same id, which knows its state.
jobs = sa.Table(
    "ebm_jobs",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("owner", sa.Text),
    sa.Column("submission", sa.Text, nullable=False),  # JSON
    sa.Column(
        "digest", sa.Text, nullable=False
    ),  # of what was asked for, to tell a repetition from another job
    sa.Column("idempotency", sa.Text, unique=True),  # of the owner and the key
    sa.Column("created", sa.Double, nullable=False),  # times are seconds since 1970, of the database's clock
    sa.Column("started", sa.Double),
    sa.Column("tries", sa.Integer, nullable=False, default=0),  # begun since it last got on
    sa.Column("cleaned", sa.Boolean, nullable=False, default=False),  # nothing of a cancelled job is left
)
sa.Index("ebm_jobs_created", jobs.c.created)

workers = sa.Table(
    "ebm_workers",
    metadata,
    sa.Column("executor_id", sa.Text, primary_key=True),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("kinds", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("beat_s", sa.Double, nullable=False),
    sa.Column("started", sa.Double, nullable=False),
    sa.Column("seen", sa.Double, nullable=False),
)


# DBOS's own, as far as they are read or a job is handed on: documented at docs.dbos.dev, "System Tables".
def _theirs(name: str, columns: str, **typed: Any) -> sa.Table:
    listed = [sa.Column(column, typed.get(column, sa.Text)) for column in columns.split()]
    return sa.Table(name, sa.MetaData(schema=SCHEMA), *listed)


status = _theirs(
    "workflow_status",
    "workflow_uuid status name executor_id application_version application_name recovery_attempts queue_name"
    " started_at_epoch_ms completed_at owner_xid output error serialization",
    recovery_attempts=sa.BigInteger,
    started_at_epoch_ms=sa.BigInteger,
    completed_at=sa.BigInteger,
)
outputs = _theirs("workflow_output", "workflow_uuid output error")
events = _theirs("workflow_events", "workflow_uuid key value")
steps = _theirs("operation_outputs", "workflow_uuid")


class Unavailable(EBMError):
    """The database cannot be reached or used now; the message holds no password."""


class Database:
    """An engine that DBOS and our own statements share."""

    def __init__(self, url: sa.URL, pool_size: int = 5):
        self.url = url
        self.is_sqlite = url.get_backend_name() == "sqlite"
        options: dict[str, Any] = {"pool_size": pool_size, "max_overflow": 10, "pool_timeout": 30}
        if self.is_sqlite:
            engine = sa.create_engine(url, **options)
            event.listen(engine, "connect", _prepare_sqlite)
            self.engine = engine.execution_options(schema_translate_map={SCHEMA: None})
        else:
            self.engine = sa.create_engine(url, pool_pre_ping=True, connect_args=_POSTGRES, **options)

    @classmethod
    def of(cls, settings: Settings, pool_size: int = 5) -> Database:
        """Raises Unavailable: the data directory cannot be made, or the URL is none."""
        if settings.database_url is not None:
            return cls(_parsed(settings.database_url), pool_size)
        file = data_dir(settings) / FILE
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Unavailable(f"{file.parent}: cannot be made ({error.strerror})") from None
        return cls(sa.URL.create("sqlite", database=str(file)), pool_size)

    @property
    def name(self) -> str:
        """For messages: without the password."""
        return str(self.url.database) if self.is_sqlite else self.url.render_as_string(hide_password=True)

    def prepare(self) -> None:
        """Make the tables that are missing, whoever else does so at the same time.

        Raises:
            Unavailable: it cannot be reached, or is no database of ours.
        """
        from dbos import DBOSPortableJSONSerializer
        from dbos._error import DBOSException
        from dbos._sys_db import SystemDatabase

        with self.answering():
            if self.is_sqlite:
                with self.engine.connect() as connection:  # kept in the file; once is enough
                    connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            with self.engine.begin() as connection:
                if self.is_sqlite:
                    connection.exec_driver_sql("BEGIN IMMEDIATE")
                else:
                    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK)))
                    connection.execute(sa.schema.CreateSchema(SCHEMA, if_not_exists=True))
                metadata.create_all(connection)
            theirs = SystemDatabase.create(
                system_database_url="sqlite://" if self.is_sqlite else "postgresql://",
                engine_kwargs={},
                engine=self.engine,
                schema=SCHEMA,
                serializer=DBOSPortableJSONSerializer(),
                executor_id=None,
            )
            try:
                theirs.run_migrations()
            except DBOSException as error:
                raise Unavailable(f"{self.name}: {error}") from None

    @contextmanager
    def answering(self) -> Iterator[None]:
        """What the driver raises, as Unavailable: one line."""
        try:
            yield
        except DBAPIError as error:
            lines = str(error.orig).strip().splitlines() or [type(error.orig).__name__]
            raise Unavailable(f"{self.name}: {lines[0]}") from error
        except SQLAlchemyError as error:
            raise Unavailable(f"{self.name}: {str(error).splitlines()[0]}") from error

    def now(self) -> sa.ColumnElement[float]:
        """Seconds since 1970 by the database's clock, so that machines need not agree on theirs."""
        if self.is_sqlite:
            return sa.literal_column("((julianday('now') - 2440587.5) * 86400.0)", sa.Double)
        return sa.cast(sa.extract("epoch", sa.func.clock_timestamp()), sa.Double)

    def close(self) -> None:
        self.engine.dispose()


# A connection whose other end is gone without a word is noticed within half a minute.
_POSTGRES: dict[str, Any] = {
    "application_name": APPLICATION,
    "connect_timeout": CONNECT_S,
    "options": "-c idle_in_transaction_session_timeout=60000",
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}


def _parsed(text: str) -> sa.URL:
    try:
        url = sa.make_url(text)
    except (ArgumentError, ValueError):
        raise Unavailable("EBM_DATABASE_URL: not a URL of a database") from None
    if url.get_backend_name() == "sqlite":
        return url.set(database=str(Path(url.database or FILE).absolute()))
    return url.set(drivername="postgresql+psycopg")


def _prepare_sqlite(connection: Any, _: Any) -> None:
    # As DBOS sets up the connections that it makes itself.
    connection.isolation_level = "IMMEDIATE"
    connection.execute("PRAGMA busy_timeout=30000")
    connection.execute("PRAGMA foreign_keys=ON")
