"""`ebm keys new|hash`: API keys of the service, which itself only ever sees their SHA-256."""

from __future__ import annotations

import hashlib
import re
import secrets
import sys
from enum import StrEnum
from typing import Annotated

import typer

from ebm.cli.common import AsJson, print_json, say
from ebm.errors import BadInput

keys = typer.Typer(help="Make API keys for the service.", no_args_is_help=True)


class Scope(StrEnum):
    """What a key may do."""

    score = "score"
    generate = "generate"
    admin = "admin"


Name = Annotated[str, typer.Option(help="Shown in the server's log.")]
Scopes = Annotated[
    list[Scope] | None, typer.Option("--scope", help="May be given several times; default: score.")
]
Rate = Annotated[str | None, typer.Option(help='Requests allowed, such as "100/minute".')]


@keys.command("new")
def new(name: Name, scope: Scopes = None, rate: Rate = None, as_json: AsJson = False) -> None:
    """Print a new key, this once, and its entry for the file that EBM_API_KEYS_FILE names.

    Example: ebm keys new --name app --scope score
    """
    key = f"ebm_{secrets.token_urlsafe(32)}"
    entry = _entry(key, name, scope, rate)
    if as_json:
        print_json({"key": key, "entry": entry})
        return
    say("The key, which is stored nowhere; requests send it as X-API-Key:")
    typer.echo(key)
    say("Its entry for the file of EBM_API_KEYS_FILE:")
    typer.echo(_yaml(entry))


@keys.command("hash")
def hash_(name: Name, scope: Scopes = None, rate: Rate = None, as_json: AsJson = False) -> None:
    """The entry of a key that there is already, read from standard input so that no shell remembers it.

    Example: ebm keys hash --name app < key.txt
    """
    key = sys.stdin.readline().strip()
    if len(key) < 32:
        raise BadInput(
            "the key on standard input has under 32 characters, and could be guessed; see `ebm keys new`"
        )
    entry = _entry(key, name, scope, rate)
    if as_json:
        print_json({"entry": entry})
    else:
        typer.echo(_yaml(entry))


def _entry(key: str, name: str, scopes: list[Scope] | None, rate: str | None) -> dict[str, object]:
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", name):
        raise BadInput(f"--name {name!r}: letters, digits, dots, - and _ only, 64 at most")
    if rate is not None and not re.fullmatch(
        r"\d+\s*(/|per)\s*(\d+\s*)?(second|minute|hour|day|month|year)s?", rate
    ):
        raise BadInput(f'--rate {rate!r}: write "100/minute" or "5 per second"')
    entry: dict[str, object] = {
        "name": name,
        "sha256": hashlib.sha256(key.encode()).hexdigest(),
        "scopes": [s.value for s in scopes or [Scope.score]],
    }
    return entry if rate is None else {**entry, "rate": rate}


def _yaml(entry: dict[str, object]) -> str:
    import yaml

    return yaml.safe_dump([entry], sort_keys=False).rstrip()
