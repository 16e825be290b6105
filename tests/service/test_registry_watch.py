"""The registry over a folder that changes: versions come, go, break and are swapped under requests."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from registries import ROWS, refusal, run, spoil, until

from ebm import artifact
from service.registry import Registry, loading


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
