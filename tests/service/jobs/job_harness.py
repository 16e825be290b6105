"""Databases, worker processes that can be killed, and a table of rows to score, for the tests of jobs."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from service.jobs.job import ENDED, Job, Submission
from service.jobs.store import Jobs
from service.settings import Settings

MODELS = Path(__file__).parents[3] / "models"
MODEL, VERSION, WIDTH = "breast-cancer", "2", 30
PATIENCE_S = 60.0


# -- databases ------------------------------------------------------------------------------------------------------


def postgres_programs() -> Path | None:
    """The folder of Debian's or another installation's initdb and pg_ctl."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    which = shutil.which("initdb")
    return found[-1].parent if found else (Path(which).parent if which else None)


def _as_nobody_special() -> list[str] | None:
    """PostgreSQL refuses to run as root; None: there is no other user to run it as."""
    if os.geteuid() != 0:
        return []
    known = subprocess.run(["id", "-u", "postgres"], capture_output=True, check=False).returncode == 0
    if known and shutil.which("setpriv"):
        return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    return None


class Postgres:
    """A server of its own, on a free port of 127.0.0.1."""

    def __init__(self, programs: Path):
        self.programs, self.prefix = programs, _as_nobody_special() or []
        self.folder = Path(tempfile.mkdtemp(prefix="ebm-pg-"))
        if self.prefix:
            shutil.chown(self.folder, "postgres", "postgres")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._run(
            "initdb", "-D", self.data, "-U", "ebm", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C"
        )
        self.start()
        self._made = 0

    @property
    def data(self) -> str:
        return str(self.folder / "data")

    def start(self) -> None:
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off -F"
        self._run("pg_ctl", "-D", self.data, "-l", str(self.folder / "log"), "-w", "-o", options, "start")

    def stop(self, mode: str = "immediate") -> None:
        self._run("pg_ctl", "-D", self.data, "-m", mode, "-w", "stop")

    def fresh(self) -> str:
        """The URL of a new database."""
        self._made += 1
        self.execute(f"CREATE DATABASE jobs{self._made}", "postgres")
        return f"postgresql://ebm@127.0.0.1:{self.port}/jobs{self._made}"

    def execute(self, statement: str, database: str = "postgres") -> list[Any]:
        import psycopg

        address = f"postgresql://ebm@127.0.0.1:{self.port}/{database}"
        with psycopg.connect(address, autocommit=True) as connection:
            cursor = connection.execute(statement)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def break_connections(self, url: str) -> int:
        """As an administrator or a failover would."""
        name = url.rpartition("/")[2]
        query = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        return len(self.execute(query))

    def close(self) -> None:
        with contextlib.suppress(subprocess.CalledProcessError):
            self.stop("fast")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self.prefix, str(self.programs / program), *arguments]
        subprocess.run(command, check=True, cwd=self.folder, stdout=subprocess.DEVNULL, timeout=60)


def why_no_postgres() -> str | None:
    if postgres_programs() is None:
        return "PostgreSQL is not installed"
    return "no user to run PostgreSQL as" if _as_nobody_special() is None else None


# -- workers --------------------------------------------------------------------------------------------------------

# Forked from a process that has imported torch and DBOS already: a worker is there at once.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    ["service.jobs.worker", "service.jobs.workflows", "ebm.batch.run", "ebm.artifact"]
)


class WorkerProcess:
    """A worker of the real code. What it writes is counted, and each part takes `pause_s`, in `log`."""

    def __init__(
        self,
        settings: Settings,
        log: Path,
        *,
        pause_s: float = 0.05,
        limits: Mapping[str, int] | None = None,
        fault: str | None = None,
    ):
        given = (settings.model_dump(), str(log), pause_s, dict(limits or {"score": 1, "train": 1}), fault)
        self.process = _FORKS.Process(target=_work, args=given, daemon=True)
        self.process.start()

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        """kill -9, and gone."""
        self.process.kill()
        self.process.join()

    def stop(self) -> int | None:
        """SIGTERM; the exit code."""
        self.process.terminate()
        self.process.join(PATIENCE_S)
        return self.process.exitcode

    def __enter__(self) -> WorkerProcess:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.is_alive():
            self.signal(signal.SIGCONT)
            self.kill()


def _work(given: dict[str, Any], log: str, pause_s: float, limits: Any, fault: str | None) -> None:
    from ebm.batch.run import BatchRun
    from service.jobs import worker
    from service.telemetry import configure_logging

    sys.stderr = Path(log + ".err").open("a")
    configure_logging("info")
    settings = Settings(**given)
    write = BatchRun._write

    def noted(self: BatchRun, index: int, *rest: Any) -> Any:
        with Path(log).open("a") as lines:
            lines.write(f"{os.getpid()} {index}\n")
        time.sleep(pause_s)
        if fault == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        return write(self, index, *rest)

    BatchRun._write = noted  # type: ignore[method-assign]
    worker.run(settings, limits)
    os._exit(0)


def writes(log: Path) -> Counter[int]:
    """How often each chunk was written."""
    lines = log.read_text().splitlines() if log.exists() else []
    return Counter(int(line.split()[1]) for line in lines)


# -- jobs -----------------------------------------------------------------------------------------------------------


def make_settings(folder: Path, url: str | None = None, **more: Any) -> Settings:
    given: dict[str, Any] = {
        "data_dir": folder / "data",
        "models_dir": MODELS,
        "database_url": url,
        "jobs": "apart",
        "job_roots": (str(folder),),
        "job_heartbeat_s": 0.5,
        "drain_s": 5.0,
    }
    return Settings(**{**given, **more})


def make_rows(file: Path, n: int, seed: int = 0) -> np.ndarray:
    """A Parquet file of n rows with a column `id`; their values."""
    values = np.random.default_rng(seed).gamma(4.0, 3.0, (n, WIDTH)).astype(np.float64)
    names = _columns()
    table = {name: values[:, i] for i, name in enumerate(names)}
    pq.write_table(pa.table({"id": np.arange(n), **table}), file)
    return values


def _columns() -> list[str]:
    from ebm import load

    names = load(MODELS / MODEL / VERSION).columns
    assert names is not None
    return names


def score(folder: Path, name: str = "out.parquet", **options: Any) -> Submission:
    return Submission(
        kind="score",
        model=MODEL,
        version=VERSION,
        input=str(folder / "rows.parquet"),
        output=str(folder / name),
        options={"rows_per_chunk": 100, **options},
    )


def wait_for(
    store: Jobs,
    job_id: str,
    until: Callable[[Job], bool] = lambda job: job.state in ENDED,
    s: float = PATIENCE_S,
) -> Job:
    """The job, once `until` holds; fails when it takes too long."""
    return wait(lambda: job if until(job := store.get(job_id)) else None, f"job {job_id}", s)


def wait(look: Callable[[], Any], what: str, s: float = PATIENCE_S) -> Any:
    end = time.monotonic() + s
    while not (found := look()):
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.02)
    return found


def check_rows(folder: Path, values: np.ndarray, name: str = "out.parquet") -> None:
    """Every row once, in order, with the energies of one call in memory; nothing is left beside."""
    from ebm import load

    out = pq.read_table(folder / name)
    assert out.column("id").to_pylist() == list(range(len(values)))
    expected = load(MODELS / MODEL / VERSION).score(values).energy
    np.testing.assert_array_equal(out.column("energy").to_numpy(), expected)
    assert not (folder / f"{name}.partial").exists()


@contextlib.contextmanager
def opened(settings: Settings) -> Iterator[Jobs]:
    store = Jobs.of(settings)
    assert store is not None
    try:
        yield store
    finally:
        store.close()
