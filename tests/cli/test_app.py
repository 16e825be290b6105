"""What holds for every command: help with an example, exit codes, one-line errors, a light start."""

from __future__ import annotations

import subprocess
import sys

import pytest
import typer

from ebm.cli.app import app
from ebm.errors import Diverged

COMMANDS = [
    "train",
    "evaluate",
    "score",
    "classify",
    "explain",
    "denoise",
    "impute",
    "generate",
    "partition",
    "compose score",
    "compose generate",
    "serve",
    "worker",
    "gallery",
    "jobs submit",
    "jobs list",
    "jobs show",
    "jobs watch",
    "jobs result",
    "jobs cancel",
    "keys new",
    "keys hash",
    "models list",
    "models show",
    "models verify",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example_of_this_command(ebm, command):
    out = ebm(*command.split(), "--help", ok=True).out
    assert f"Example: ebm {command} " in " ".join(out.replace("│", " ").split())


def test_every_command_is_listed_above():
    root = typer.main.get_command(app)
    names = [
        f"{name} {inner}".strip()
        for name, command in root.commands.items()
        for inner in getattr(command, "commands", {"": None})
    ]
    assert sorted(names) == sorted(COMMANDS)


@pytest.mark.parametrize("args", [("nonsense",), ("score",), ("score", "table", "x.csv", "--fpr", "much")])
def test_bad_use_is_2(ebm, args):
    result = ebm(*args)
    assert result.code == 2 and result.out == "" and "Traceback" not in result.err


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (Diverged("the loss\nis NaN"), 1, "the loss is NaN"),
        (PermissionError(13, "Permission denied", "x.csv"), 1, "Permission denied"),
        (MemoryError(), 1, "not enough memory"),
        (KeyError("oops"), 1, "internal error: KeyError"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_every_failure_is_one_line(ebm, rows, monkeypatch, error, code, message):
    def fail(*_args, **_kwargs):
        raise error

    monkeypatch.setattr("ebm.artifact.load", fail)
    assert message in ebm("score", "table", rows).error(code)


def test_a_traceback_on_request(ebm, rows, monkeypatch):
    monkeypatch.setattr("ebm.artifact.load", lambda *_a, **_k: {}["oops"])
    with pytest.raises(KeyError, match="oops"):
        ebm("--traceback", "score", "table", rows)


def test_starting_needs_neither_torch_nor_the_service():
    code = (
        "import sys, ebm.cli.app\n"
        "heavy = {'torch', 'numpy', 'sklearn', 'scipy', 'pyarrow', 'matplotlib', 'service'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_installed_command_prints_its_version():
    code = "import sys; sys.argv = ['ebm', '--version']; from ebm.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.strip()
