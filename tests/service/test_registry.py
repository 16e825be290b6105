"""The registry over a folder: what loads, what is refused, what a name means, and how versions come and go."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ebm import artifact
from service.errors import Problem
from service.registry import Registry, loading

ROWS = np.full((2, 6, 5), 8.0)


@pytest.fixture
def put(models_dir: Path, tmp_path: Path) -> Callable[..., Path]:
    """Publish blobs 1 or 2 under a name and version, as `artifact.publish` does: beside, then renamed."""

    def put(name: str, version: str, of: str = "1") -> Path:
        target = tmp_path / "models" / name / version
        shutil.copytree(models_dir / "blobs" / of, target.parent / ".beside")
        return (target.parent / ".beside").rename(target)

    return put


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "models"
    path.mkdir()
    return path


def run(scenario: Callable[[], Awaitable[Any]]) -> Any:
    async def bounded() -> Any:
        return await asyncio.wait_for(scenario(), 60)

    return asyncio.run(bounded())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


async def refusal(registry: Registry, *asked: str) -> Problem:
    with pytest.raises(Problem) as caught:
        await registry.get(*asked)
    return caught.value


def spoil(path: Path, name: str = artifact.WEIGHTS) -> None:
    (path / name).write_bytes(b"altered")


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


def test_the_watcher_adds_and_removes_versions_and_retries_a_half_copied_one(root: Path, put: Any) -> None:
    put("a", "1")

    async def scenario() -> None:
        registry = Registry(root, watch_s=0.01)
        await registry.start()
        held = await registry.get("a")
        before = held.detector.score(ROWS).energy

        half = put("b", "1")
        whole = (half / artifact.CALIBRATION).read_bytes()
        (half / artifact.CALIBRATION).write_bytes(whole[:100])
        await until(lambda: ("b", "1") in registry.refused)
        (half / artifact.CALIBRATION).write_bytes(whole)
        await until(lambda: ("b", "1") in registry.loaded)

        put("a", "2", of="2")
        await until(lambda: registry.default("a") == "2")
        shutil.rmtree(root / "a" / "1")
        await until(lambda: ("a", "1") not in registry.slots)
        assert (await refusal(registry, "a", "1")).status == 404
        # Who holds the old version still scores with it.
        np.testing.assert_array_equal(held.detector.score(ROWS).energy, before)
        await registry.stop()
        put("c", "1")
        await asyncio.sleep(0.05)
        assert registry.default("c") is None

    run(scenario)


def test_an_artefact_altered_in_place_is_refused_until_it_is_restored(root: Path, put: Any) -> None:
    path = put("a", "1")
    whole = (path / artifact.WEIGHTS).read_bytes()

    async def scenario() -> None:
        registry = Registry(root)
        await registry.reload()
        held = await registry.get("a")
        spoil(path)
        await registry.look()
        assert "altered" in (await refusal(registry, "a")).detail
        (path / artifact.WEIGHTS).write_bytes(whole)
        await registry.look()
        assert (await registry.get("a")).detector is not held.detector

    run(scenario)


def test_a_touched_file_changes_nothing_and_is_not_loaded_twice(root: Path, put: Any) -> None:
    path = put("a", "1")

    async def scenario() -> None:
        registry = Registry(root)
        await registry.reload()
        held = await registry.get("a")
        (path / artifact.WEIGHTS).touch()
        await registry.look()
        assert await registry.get("a") is held

    run(scenario)


def test_a_version_republished_under_its_number_counts_only_when_asked_to_reload(
    root: Path, put: Any, models_dir: Path
) -> None:
    path = put("a", "1")

    async def scenario() -> None:
        registry = Registry(root)
        await registry.reload()
        before = (await registry.get("a")).detector.score(ROWS).energy
        shutil.copytree(models_dir / "blobs" / "2", path, dirs_exist_ok=True)
        changes = await registry.look()
        assert "changed after it was published" in changes.refused[0].reason
        await registry.look()
        assert (await refusal(registry, "a")).status == 503
        assert (await registry.reload()).refused == []
        assert not np.array_equal((await registry.get("a")).detector.score(ROWS).energy, before)

    run(scenario)


def test_only_what_changed_is_read(root: Path, put: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    put("a", "1")
    spoil(put("b", "1"))
    read: list[str] = []
    load = artifact.load
    monkeypatch.setattr(
        loading.artifact,
        "load",
        lambda path, **options: read.append(path.parent.name) or load(path, **options),
    )

    async def scenario() -> None:
        registry = Registry(root)
        await registry.look()
        assert sorted(read) == ["a", "b"]
        await registry.look()
        assert sorted(read) == ["a", "b"]
        await registry.reload()  # an administrator may know better
        assert sorted(read) == ["a", "b", "b"]

    run(scenario)


def test_a_refused_version_is_tried_again_after_a_while(
    root: Path, put: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("a", "1")
    load, errors = artifact.load, [OSError("too many open files")]

    def fail_once(path: Path, **options: Any) -> Any:
        if errors:
            raise errors.pop()
        return load(path, **options)

    monkeypatch.setattr(loading.artifact, "load", fail_once)

    async def scenario() -> None:
        registry = Registry(root)
        await registry.look()
        await registry.look()
        assert (await refusal(registry, "a")).status == 503
        registry.slots["a", "1"].retry_at = 0.0
        await registry.look()
        assert (await registry.get("a")).version == "1"

    run(scenario)


def test_a_swap_under_concurrent_gets_fails_none(root: Path, put: Any) -> None:
    put("a", "1")

    async def scenario() -> set[str]:
        registry = Registry(root, watch_s=0.01)
        await registry.start()
        seen: set[str] = set()
        done = False

        async def ask() -> None:
            while not done:
                found = await registry.get("a")
                assert found.is_default and found.detector.energy is not None
                seen.add(found.version)
                await asyncio.sleep(0)

        clients = [asyncio.create_task(ask()) for _ in range(8)]
        for version in range(2, 6):
            put("a", str(version), of=str(1 + version % 2))
            await until(lambda version=version: str(version) in seen)
            await asyncio.to_thread(shutil.rmtree, root / "a" / str(version - 1))
        done = True
        await asyncio.gather(*clients)
        await registry.stop()
        return seen

    assert run(scenario) == {"1", "2", "3", "4", "5"}


def test_a_folder_that_is_away_changes_nothing(root: Path, put: Any) -> None:
    put("a", "1")

    async def scenario() -> None:
        registry = Registry(root)
        await registry.reload()
        assert registry.ready and registry.problem is None
        root.rename(root.with_name("away"))
        changes = await registry.reload()
        assert changes.failed is not None and changes.removed == [] and "models" in (registry.problem or "")
        assert (await registry.get("a")).version == "1" and registry.ready
        nothing = Registry(root)
        await nothing.start()
        assert not nothing.ready and nothing.served() == [] and nothing.refused == {}
        root.with_name("away").rename(root)
        await nothing.look()
        await nothing.stop()
        assert nothing.ready

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
