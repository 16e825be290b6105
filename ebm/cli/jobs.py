"""`ebm jobs`: long work on a server, which goes on without this terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ebm.cli.common import AsJson, print_json, say
from ebm.cli.failure import FAILED, fail
from ebm.cli.jobs_given import configuration, local_file, options_of
from ebm.cli.jobs_shown import print_job, print_jobs, watched
from ebm.errors import BadInput

if TYPE_CHECKING:
    from ebm.client import Client

jobs = typer.Typer(
    help="Submit work on whole files to a server (see ebm serve), and look after it.", no_args_is_help=True
)


class Kind(StrEnum):
    """What a job does."""

    score = "score"
    denoise = "denoise"
    generate = "generate"
    train = "train"


class State(StrEnum):
    """How far it is."""

    queued = "queued"
    running = "running"
    succeeded = "succeeded"
    failed = "failed"
    cancelled = "cancelled"


Url = Annotated[str, typer.Option(envvar="EBM_URL", help="Address of the server.")]
ApiKey = Annotated[
    str | None, typer.Option(envvar="EBM_API_KEY", show_envvar=True, help="Where the server asks for one.")
]
Id = Annotated[str, typer.Argument(metavar="ID", help="As `submit` and `list` print it.")]
DEFAULT_URL = "http://127.0.0.1:8000"


@jobs.command()
def submit(
    kind: Annotated[Kind, typer.Argument(help="What to do.")],
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="NAME or NAME/VERSION on the server; train: to publish.")
    ],
    input: Annotated[
        str | None,
        typer.Argument(
            metavar="INPUT",
            help="A file, which is uploaded; a URL, which the server reads; with --on-server, a path there. "
            "None to generate.",
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            help="Path on the server or URL to write to; or a bare name, which the server keeps for `result`. "
            "Its suffix is the format; without one it is a folder of parts.",
        ),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Such as fdr=0.1, sigma=0.2, n=1000; may be repeated."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="train: a YAML configuration as of ebm train, in place of options.")
    ] = None,
    on_server: Annotated[bool, typer.Option("--on-server", help="INPUT is a path on the server.")] = False,
    engine: Annotated[str | None, typer.Option(help="local, or ray for a cluster.")] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Stay until it has ended, and show how far it is.")
    ] = False,
    idempotency_key: Annotated[
        str | None, typer.Option(help="The same key again finds the same job, and starts no other.")
    ] = None,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Submit a job, and print its id; with --wait, stay until it has ended (exit code 1 where it failed).

    Example: ebm jobs submit score pumps rows.parquet --option fdr=0.1 --wait

    Example: ebm jobs submit train pumps rows.csv --option preset=tabular --option label=state --option 'normal=["ok"]'
    """
    options = options_of(option or [])
    if config is not None:
        if options or kind is not Kind.train:
            raise BadInput("--config goes with train, and without --option")
        options = {"config": configuration(config)}
    name, _, version = model.partition("/")
    asked: dict[str, Any] = {"version": version or None, "engine": engine, "idempotency_key": idempotency_key}
    if input is not None and (on_server or "://" in input):
        asked["input"] = input
    elif input is not None:
        asked["file"] = local_file(Path(input))
    # An upload takes as long as it takes.
    with _server(url, api_key, timeout=None if "file" in asked else 60.0) as client:
        job = client.submit_job(kind.value, name, output=output, options=options or None, **asked)
        if not wait:
            if as_json:
                print_json(job)
            else:
                typer.echo(job["id"])
            return
        say(f"job {job['id']}")
        _end(watched(client, job["id"], as_json), as_json)


@jobs.command("list")
def list_(
    kind: Annotated[Kind | None, typer.Option(help="Only of this kind.")] = None,
    state: Annotated[State | None, typer.Option(help="Only in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many, the newest first.")] = 20,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """List the jobs of this API key, the newest first; of all keys for an administrator's.

    Example: ebm jobs list --state running
    """
    with _server(url, api_key) as client:
        which: dict[str, Any] = {"kind": kind and kind.value, "state": state and state.value}
        found = client.jobs(limit=limit, **which)
    if as_json:
        print_json({"jobs": found})
    else:
        print_jobs(found)


@jobs.command()
def show(job_id: Id, url: Url = DEFAULT_URL, api_key: ApiKey = None, as_json: AsJson = False) -> None:
    """Show a job: what was asked, how far it is, what it found or why it failed.

    Example: ebm jobs show 5f2b8c1e9a7d4036
    """
    with _server(url, api_key) as client:
        found = client.job(job_id)
    if as_json:
        print_json(found)
    else:
        print_job(found)


@jobs.command()
def watch(job_id: Id, url: Url = DEFAULT_URL, api_key: ApiKey = None, as_json: AsJson = False) -> None:
    """Show how far a job is until it has ended; exit code 1 where it failed. Ctrl-C stops watching, not the job.

    Example: ebm jobs watch 5f2b8c1e9a7d4036
    """
    with _server(url, api_key) as client:
        _end(watched(client, job_id, as_json), as_json)


@jobs.command()
def result(
    job_id: Id,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="File (or folder, of parts) to write; appears only when complete."
        ),
    ],
    part: Annotated[str | None, typer.Option(help="Only this part of a folder.")] = None,
    rejects: Annotated[
        bool, typer.Option("--rejects", help="The rows that could not be used, as CSV.")
    ] = False,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Download what a job made.

    Example: ebm jobs result 5f2b8c1e9a7d4036 -o scored.parquet
    """
    if not output.absolute().parent.is_dir():
        raise BadInput(f"{output}: the folder {output.absolute().parent} does not exist")
    with _server(url, api_key) as client:
        if rejects:
            from ebm.cli.output import beside

            content = client.job_rejects(job_id)
            with beside(output) as file:
                file.write(content)
        else:
            _check_kind(output, part or client.job(job_id)["output"])
            client.download_job_result(job_id, output, part)
    if as_json:
        print_json({"path": str(output)})
    else:
        say(f"written: {output}")


def _check_kind(output: Path, made: str) -> None:
    """Raises BadInput where a file would get another kind's name: nothing is converted."""
    kind = Path(made).suffix.lower()
    if kind and output.suffix.lower() != kind:
        raise BadInput(f"{output}: the result is a {kind} file and is not converted; name it *{kind}")


@jobs.command()
def cancel(job_id: Id, url: Url = DEFAULT_URL, api_key: ApiKey = None, as_json: AsJson = False) -> None:
    """Stop a job; one that has ended stays as it is.

    Example: ebm jobs cancel 5f2b8c1e9a7d4036
    """
    with _server(url, api_key) as client:
        found = client.cancel_job(job_id)
    if as_json:
        print_json(found)
    else:
        say(f"job {job_id}: {found['state']}")


@contextmanager
def _server(url: str, api_key: str | None, timeout: float | None = 60.0) -> Iterator[Client]:
    """The client; what it cannot use is bad use, and all names the server.

    Raises:
        BadInput: the server refuses what was given. EBMError: anything else.
    """
    from ebm.client import BadRequest, Client, ClientError, NoAnswer, NotFound

    with Client(url, api_key=api_key, timeout=timeout) as client:
        try:
            yield client
        except (BadRequest, NotFound) as problem:
            raise BadInput(str(problem)) from None
        except NoAnswer as error:
            raise ClientError(f"{url}: {error}") from None


def _end(job: dict[str, Any], as_json: bool) -> None:
    """Say how a job ended; leave with 1 where it did not succeed."""
    if as_json:
        print_json(job)
    else:
        print_job(job)
    if job["state"] != "succeeded":
        how = "failed" if job["state"] == "failed" else "was cancelled"
        reason = (job.get("error") or {}).get("detail")
        fail(f"job {job['id']} {how}{f': {reason}' if reason else ''}", FAILED)
