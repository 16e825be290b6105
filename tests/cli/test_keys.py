"""`ebm keys`: what it prints opens the service, and nothing weaker is made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.requests import Request
from typer.testing import CliRunner

from ebm.cli.app import app
from service.api_keys import digest, read_keys
from service.auth import Auth
from service.errors import Problem


def test_a_new_key_opens_the_service(ebm: Any, tmp_path: Path) -> None:
    done = ebm(
        "keys",
        "new",
        "--name",
        "app",
        "--scope",
        "score",
        "--scope",
        "generate",
        "--rate",
        "5/minute",
        ok=True,
    )
    key, entry = done.out.split("\n", 1)
    assert len(key) >= 43 and key not in entry and key not in done.err
    file = tmp_path / "keys.yaml"
    file.write_text(entry)
    (found,) = read_keys(file)
    assert (found.name, found.scopes, found.rate) == ("app", ("score", "generate"), "5/minute")
    auth, request = Auth([found]), Request({"type": "http", "headers": [(b"x-api-key", key.encode())]})
    auth.check(request, "generate")
    with pytest.raises(Problem):
        auth.check(request, "admin")


def test_no_two_keys_are_alike_and_json_has_both_parts(ebm: Any) -> None:
    one, other = (ebm("keys", "new", "--name", "a", "--json", ok=True).json for _ in range(2))
    assert one["key"] != other["key"] and one["entry"]["sha256"] == digest(one["key"])
    assert one["entry"]["scopes"] == ["score"] and "rate" not in one["entry"]


def test_a_key_that_there_is_comes_by_standard_input() -> None:
    secret = "k" * 40
    done = CliRunner().invoke(app, ["keys", "hash", "--name", "old"], input=f"{secret}\n")
    assert done.exit_code == 0 and yaml.safe_load(done.stdout)[0]["sha256"] == digest(secret)
    short = CliRunner().invoke(app, ["keys", "hash", "--name", "old"], input="password\n")
    assert short.exit_code == 2 and "could be guessed" in short.stderr and "password" not in short.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--name", "a b"), "letters, digits"),
        (("--name", "a", "--rate", "often"), "100/minute"),
        (("--name", "a", "--scope", "all"), ""),
        ((), ""),
    ],
)
def test_bad_use(ebm: Any, options: tuple[str, ...], said: str) -> None:
    done = ebm("keys", "new", *options)
    assert done.code == 2 and said in done.err and done.out == ""
