"""The models folder: what loads, what is refused, and what a name means."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ebm.errors import BadArtifact
from service.errors import Problem
from service.registry import Registry


@dataclass
class Entry:
    name: str
    version: str
    path: Path
    default: bool


def registry(tmp_path: Path, entries: dict[tuple[str, str], Any], defaults: set[tuple[str, str]]) -> Registry:
    """Each entry loads as itself, or raises itself."""

    def load_one(path: Path, **_: Any) -> Any:
        found = entries[(path.parent.name, path.name)]
        if isinstance(found, Exception):
            raise found
        return found

    listed = [Entry(*key, tmp_path / key[0] / key[1], key in defaults) for key in entries]
    made = Registry(tmp_path, load_one=load_one, list_all=lambda _: listed)
    made.load()
    return made


def test_a_bad_artefact_is_refused_and_the_rest_serve(tmp_path: Path) -> None:
    bad = BadArtifact(f"{tmp_path}/b/1/weights.safetensors: altered")
    made = registry(
        tmp_path,
        {("a", "1"): "A", ("b", "1"): bad, ("c", "1"): ZeroDivisionError("surprise\nin two lines")},
        {("a", "1"), ("b", "1"), ("c", "1")},
    )
    assert made.get("a").detector == "A"
    assert [one.name for one in made.served()] == ["a"]
    # The folder is the server's business, the file within it is the reader's.
    assert made.refused[("b", "1")].reason == "b/1/weights.safetensors: altered"
    assert made.refused[("c", "1")].reason == "ZeroDivisionError: surprise in two lines"


def test_a_name_means_its_default_version_and_others_by_version(tmp_path: Path) -> None:
    made = registry(tmp_path, {("a", "1"): "one", ("a", "2"): "two", ("a", "10"): "ten"}, {("a", "2")})
    assert made.get("a").detector == "two"
    assert made.get("a", "10").detector == "ten"
    assert made.versions("a") == ["1", "2", "10"]


def test_a_refused_default_is_not_replaced_by_another_version(tmp_path: Path) -> None:
    made = registry(tmp_path, {("a", "1"): "one", ("a", "2"): BadArtifact("torn")}, {("a", "2")})
    with pytest.raises(Problem) as caught:
        made.get("a")
    assert caught.value.status == 503 and "torn" in caught.value.detail
    assert made.get("a", "1").detector == "one"


def test_unknown_names_and_versions(tmp_path: Path) -> None:
    made = registry(tmp_path, {("a", "1"): "one"}, {("a", "1")})
    for arguments, words in ((("b",), "served: a"), (("a", "7"), "it has 1")):
        with pytest.raises(Problem) as caught:
            made.get(*arguments)
        assert caught.value.status == 404 and words in caught.value.detail


def test_a_folder_that_is_not_there_serves_nothing(tmp_path: Path) -> None:
    made = Registry(tmp_path / "none")
    made.load()
    assert made.served() == [] and made.refused == {}
