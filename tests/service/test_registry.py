"""The registry over a folder: what loads, what is refused, and what a name means."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from registries import ROWS, refusal, run, spoil

from ebm import artifact
from service.registry import Registry, loading


def test_a_bad_artefact_is_refused_with_its_reason_and_the_rest_serve(root: Path, put: Any) -> None:
    put("a", "1")
    spoil(put("b", "1"))
    (put("c", "1") / artifact.MANIFEST).unlink()

    async def scenario() -> None:
        registry = Registry(root)
        changes = await registry.reload()
        assert changes.added == [("a", "1"), ("b", "1"), ("c", "1")]
        assert [one.name for one in changes.refused] == ["b", "c"]
        assert (await registry.get("a")).detector.score(ROWS).energy.shape == (2,)
        assert [one.name for one in registry.served()] == ["a"]
        # The folder is the server's business, the file within it is the reader's.
        reason = "b/1/weights.safetensors: altered since it was published (sha256 differs)"
        assert registry.refused["b", "1"].reason == reason
        assert registry.refused["c", "1"].reason == "c/1/manifest.json: missing"
        problem = await refusal(registry, "b")
        assert problem.status == 503 and reason in problem.detail
        assert registry.index() == [
            {"name": "a", "version": "1", "state": "READY", "reason": ""},
            {"name": "b", "version": "1", "state": "UNAVAILABLE", "reason": reason},
            {"name": "c", "version": "1", "state": "UNAVAILABLE", "reason": "c/1/manifest.json: missing"},
        ]

    run(scenario)


def test_what_fails_in_an_unknown_way_is_refused_as_well(
    root: Path, put: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("a", "1")

    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("surprise\nin two lines")

    monkeypatch.setattr(loading.artifact, "load", fail)

    async def scenario() -> None:
        registry = Registry(root)
        await registry.reload()
        assert registry.refused["a", "1"].reason == "ZeroDivisionError: surprise in two lines"

    run(scenario)


def test_unknown_names_and_versions(root: Path, put: Any) -> None:
    put("a", "1")

    async def scenario() -> None:
        registry = Registry(root)
        await registry.reload()
        for asked, words in ((("b",), "served: a"), (("a", "7"), "it has 1")):
            problem = await refusal(registry, *asked)
            assert problem.status == 404 and words in problem.detail

    run(scenario)


def test_the_bare_name_means_the_highest_version_that_loads(root: Path, put: Any) -> None:
    put("a", "9")
    put("a", "10", of="2")

    async def scenario() -> None:
        registry = Registry(root)
        await registry.reload()
        assert (await registry.get("a")).version == "10"
        assert (await registry.get("a", "9")).is_default is False
        assert registry.versions("a") == ["9", "10"] and registry.note("a") is None

        spoil(put("a", "11"))  # a bad new version does not take over
        changes = await registry.look()
        assert changes.defaults == {} and [one.version for one in changes.refused] == ["11"]
        assert (await registry.get("a")).version == "10"
        assert registry.note("a") == "version 11 is refused; 'a' means version 10"
        assert (await refusal(registry, "a", "11")).status == 503

    run(scenario)


def test_a_pinned_version_is_followed_and_never_replaced_by_another(root: Path, put: Any) -> None:
    put("a", "1")
    two = put("a", "2", of="2")

    async def scenario() -> None:
        registry = Registry(root)
        await registry.reload()
        (root / "a" / "default").write_text("1\n")
        assert (await registry.look()).defaults == {"a": ("2", "1")}
        assert (await registry.get("a")).version == "1" and (await registry.get("a")).is_default
        assert registry.note("a") is None
        (root / "a" / "default").write_text("2")
        spoil(two)
        await registry.look()
        assert (await refusal(registry, "a")).status == 503
        assert (await registry.get("a", "1")).version == "1"
        (root / "a" / "default").unlink()
        await registry.look()
        assert (await registry.get("a")).version == "1"

    run(scenario)


def test_not_ready_before_the_first_look_nor_with_refused_versions_only(root: Path, put: Any) -> None:
    spoil(put("a", "1"))

    async def scenario() -> None:
        registry = Registry(root)
        assert not registry.ready
        await registry.look()
        assert not registry.ready
        put("b", "1")
        await registry.look()
        assert registry.ready
        assert registry.numbers[:5] == (1, 0, 0, 1, 0)

    run(scenario)


def test_a_manifest_of_another_format_is_refused(root: Path, put: Any) -> None:
    path = put("a", "1") / artifact.MANIFEST
    values = json.loads(path.read_bytes())
    path.write_text(json.dumps({**values, "format_version": 99}))

    async def scenario() -> None:
        for load in ("eager", "lazy"):
            registry = Registry(root, load=load)
            await registry.look()
            assert "format version 99" in registry.refused["a", "1"].reason

    run(scenario)
