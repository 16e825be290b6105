"""Jobs for people: a table of them, one in full, and a bar of its progress."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ebm.cli.common import say

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from ebm.client import Client

COLOURS = {"succeeded": "green", "failed": "red", "cancelled": "yellow", "running": "cyan"}


def watched(client: Client, job_id: str, as_json: bool) -> dict[str, Any]:
    """The job once it has ended, under a progress bar; the server may be away for some minutes meanwhile."""
    with _bar(as_json) as (bar, task):

        def on_progress(job: dict[str, Any]) -> None:
            done = job["progress"]
            bar.update(
                task, completed=done["done"], total=done["total"], description=_line(job["state"], done)
            )

        try:
            return client.wait_for_job(job_id, on_progress=on_progress)
        except KeyboardInterrupt:
            say(f"job {job_id} goes on; ebm jobs watch {job_id}, or ebm jobs cancel {job_id}")
            raise


def _bar(as_json: bool) -> Any:
    from contextlib import contextmanager

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    @contextmanager
    def shown() -> Iterator[tuple[Progress, TaskID]]:
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        silent = as_json or not console.is_terminal
        with Progress(*columns, console=console, transient=True, disable=silent) as bar:
            yield bar, bar.add_task("waiting", total=None)

    return shown()


def _line(state: str, done: dict[str, Any]) -> str:
    """State, speed, time left and figures in a line."""
    parts = [" ".join(filter(None, [state, done.get("term")]))]
    if done.get("per_second") is not None:
        parts.append(f"{done['per_second']:,.0f} {done.get('unit', 'rows')}/s")
    if done.get("eta_s") is not None:
        minutes, seconds = divmod(round(done["eta_s"]), 60)
        hours, minutes = divmod(minutes, 60)
        parts.append(f"{hours}:{minutes:02}:{seconds:02} left")
    if done.get("anomalies") is not None:
        parts.append(f"{done['anomalies']:,} anomalies")
    parts += [f"{name} {value:.4g}" for name, value in (done.get("figures") or {}).items()]
    return ", ".join(parts)


def _how_far(done: dict[str, Any]) -> str:
    total = "" if done.get("total") is None else f" of {done['total']:,}"
    return f"{done['done']:,}{total} {done.get('unit', 'rows')}"


def print_jobs(jobs: list[dict[str, Any]]) -> None:
    """A line for each."""
    if not jobs:
        say("no jobs")
        return
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    table = Table(Column("id", no_wrap=True), "kind", "model", "state", "done", "input", "created")
    for job in jobs:
        model = "/".join(filter(None, [job["model"], job["version"]]))
        state = Text(job["state"], style=COLOURS.get(job["state"], ""))
        table.add_row(
            job["id"],
            job["kind"],
            Text(model),
            state,
            _how_far(job["progress"]),
            Text(job["input"] or ""),
            job["created"][:16].replace("T", " "),
        )
    Console().print(table)


def print_job(job: dict[str, Any]) -> None:
    """All that is known of one, for people; nulls left out."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    done = job["progress"]
    summary = job.get("summary") or {}
    rows: dict[str, Any] = {
        "job": job["id"],
        "state": job["state"],
        "kind": job["kind"],
        "model": "/".join(filter(None, [job["model"], job.get("version")])),
        "input": job.get("input"),
        "output": job.get("output"),
        "options": ", ".join(f"{key}={value}" for key, value in (job.get("options") or {}).items()),
        "created": job.get("created"),
        "started": job.get("started"),
        "finished": job.get("finished"),
        "expires": job.get("expires"),
        "done": _how_far(done),
        "speed": None if job.get("finished") else _line("", done).lstrip(", "),
        "anomalies": summary.get("anomalies", done.get("anomalies")),
        "rejected rows": summary.get("rejected", done.get("rejected")) or None,
        "seconds": summary.get("seconds"),
        "drift": (summary.get("drift") or {}).get("verdict"),
        "error": (job.get("error") or {}).get("detail"),
    }
    table = Table(show_header=False, box=None)
    for name, value in rows.items():
        if value not in (None, ""):
            table.add_row(name, Text(str(value)))
    Console().print(table)
