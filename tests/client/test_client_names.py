"""What the client promises by name, and what it does without."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import ebm.client
from ebm.client import AsyncClient, Client

STREAMS = ("generate_stream", "follow_job")


def test_the_client_needs_no_torch() -> None:
    code = "import sys, ebm.client; sys.exit('torch' in sys.modules or 'fastapi' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_all_names_are_there() -> None:
    for name in ebm.client.__all__:
        assert getattr(ebm.client, name).__name__ == name
    errors = {getattr(ebm.client, name) for name in ebm.client.__all__ if name[0].isupper()}
    assert all(inspect.isclass(one) for one in errors)


def test_both_clients_have_the_same_methods_and_signatures() -> None:
    names = {name for name in vars(Client) if not name.startswith("_")}
    assert names == {name for name in vars(AsyncClient) if not name.startswith("_")}
    assert {"score", "denoise", "generate_stream", "submit_job", "close"} <= names
    for name in names - {"close"}:
        sync, later = getattr(Client, name), getattr(AsyncClient, name)
        assert inspect.signature(sync) == inspect.signature(later), name
        assert sync.__doc__, name
        assert inspect.iscoroutinefunction(later) == (name not in STREAMS), name


@pytest.mark.parametrize("name", ["fprr", "rows_"])
def test_an_unknown_option_is_a_type_error(name: str) -> None:
    with Client() as client, pytest.raises(TypeError, match=name):
        client.score("m", [[1]], **{name: 1})
