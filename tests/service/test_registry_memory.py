"""Versions loaded at their first request, given up under a memory limit, and loaded again."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ebm import artifact
from service.errors import Problem
from service.registry import Registry, loading
from service.registry.memory import size_of, to_evict


@pytest.fixture
def root(models_dir: Path, tmp_path: Path) -> Path:
    """blobs 1 under the names a, b and c."""
    for name in "abc":
        shutil.copytree(models_dir / "blobs" / "1", tmp_path / name / "1")
    return tmp_path


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the models that are read, in order."""
    names: list[str] = []
    load = artifact.load

    def note(path: Path, **options: Any) -> Any:
        names.append(path.parent.name)
        return load(path, **options)

    monkeypatch.setattr(loading.artifact, "load", note)
    return names


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(scenario(), 60)

    asyncio.run(bounded())


def test_size_is_that_of_the_arrays(models_dir: Path) -> None:
    detector = artifact.load(models_dir / "blobs" / "1")
    stored = sum(
        (models_dir / "blobs" / "1" / name).stat().st_size
        for name in (artifact.WEIGHTS, artifact.CALIBRATION)
    )
    assert 0.5 * stored < size_of(detector) < 2 * stored
    before = size_of(detector)
    detector.energy.register_buffer("more", detector.energy.terms["kernel"].centres.double())
    added = detector.energy.terms["kernel"].centres.numel() * 8
    assert size_of(detector) - before == added
    detector.energy.register_buffer("view", detector.energy.get_buffer("more")[:3])  # shares its memory
    assert size_of(detector) - before == added


def test_the_least_recently_used_goes_first_and_never_the_last_used() -> None:
    a, b, c = ("a", "1"), ("b", "1"), ("c", "1")
    sizes, used = {a: 10, b: 10, c: 10}, {a: 5, b: 3}
    assert to_evict(sizes, used, 30) == []
    assert to_evict(sizes, used, 29) == [c]
    assert to_evict(sizes, used, 15) == [c, b]
    assert to_evict(sizes, used, 1) == [c, b]


def test_lazy_models_load_at_their_first_request_once_for_all_who_wait(root: Path, read: list[str]) -> None:
    async def scenario() -> None:
        registry = Registry(root, load="lazy")
        await registry.look()
        assert read == [] and registry.ready and registry.served() == []
        assert registry.numbers.available == 3 and registry.slots["a", "1"].manifest is not None
        found = await asyncio.gather(*(registry.get("a", version) for version in (None, "1", None)))
        assert read == ["a"]
        assert found[0] is found[1] is found[2] and found[0].is_default
        assert registry.numbers[:2] == (1, 2)
        assert await registry.get("a") is found[0] and read == ["a"]

    run(scenario)


def test_a_client_that_leaves_does_not_cancel_the_load_of_the_others(root: Path, read: list[str]) -> None:
    async def scenario() -> None:
        registry = Registry(root, load="lazy")
        await registry.look()
        leaving, staying = (asyncio.create_task(registry.get("a")) for _ in range(2))
        await asyncio.sleep(0)
        leaving.cancel()
        assert (await staying).name == "a" and read == ["a"]
        with pytest.raises(asyncio.CancelledError):
            await leaving

    run(scenario)


def test_a_lazy_bare_name_falls_back_when_its_highest_version_does_not_load(root: Path) -> None:
    shutil.copytree(root / "a" / "1", root / "a" / "2")
    (root / "a" / "2" / artifact.WEIGHTS).write_bytes(b"altered")

    async def scenario() -> None:
        registry = Registry(root, load="lazy")
        await registry.look()
        assert registry.default("a") == "2"
        assert (await registry.get("a")).version == "1"
        assert "altered" in registry.refused["a", "2"].reason
        with pytest.raises(Problem) as caught:
            await registry.get("a", "2")
        assert caught.value.status == 503

    run(scenario)


def test_a_lazy_name_in_use_gets_its_new_version_loaded_before_it_takes_over(
    root: Path, read: list[str], models_dir: Path
) -> None:
    async def scenario() -> None:
        registry = Registry(root, load="lazy")
        await registry.look()
        await registry.get("a")
        for name in "ab":
            shutil.copytree(models_dir / "blobs" / "2", root / name / "2")
        await registry.look()
        assert read == ["a", "a"]
        assert registry.slots["a", "2"].state == "loaded" and registry.slots["b", "2"].state == "available"

    run(scenario)


def test_the_least_recently_used_is_evicted_and_loads_again(root: Path, read: list[str]) -> None:
    size = size_of(artifact.load(root / "a" / "1"))
    read.clear()

    async def scenario() -> None:
        registry = Registry(root, load="lazy", max_model_bytes=2 * size)
        await registry.look()
        held = await registry.get("a")
        await registry.get("b")
        await registry.get("a")
        await registry.get("c")
        assert {key: slot.state for key, slot in registry.slots.items()} == {
            ("a", "1"): "loaded",
            ("b", "1"): "evicted",
            ("c", "1"): "loaded",
        }
        assert registry.numbers.evictions == 1 and registry.numbers.n_bytes == 2 * size
        assert registry.index()[1]["state"] == "READY"
        assert (await registry.get("b")).name == "b"
        assert registry.slots["a", "1"].state == "evicted" and read == ["a", "b", "c", "b"]
        # What was given up still answers who holds it.
        assert np.isfinite(held.detector.score(np.full((1, 6, 5), 8.0)).energy).all()

    run(scenario)


def test_a_model_larger_than_the_limit_still_serves(root: Path) -> None:
    async def scenario() -> None:
        registry = Registry(root, load="lazy", max_model_bytes=1)
        await registry.look()
        for name in ("a", "b", "a"):
            assert (await registry.get(name)).name == name
        found = await asyncio.gather(*(registry.get(name) for name in "abcabc"))
        assert [one.name for one in found] == list("abcabc")
        assert registry.numbers.loaded == 1

    run(scenario)


def test_eager_loading_stops_at_the_limit_and_begins_with_the_defaults(root: Path, read: list[str]) -> None:
    shutil.copytree(root / "a" / "1", root / "a" / "2")
    on_disk = sum(file.stat().st_size for file in (root / "a" / "1").iterdir())

    async def scenario() -> None:
        registry = Registry(root, max_model_bytes=3 * on_disk)
        await registry.look()
        assert {key for key, slot in registry.slots.items() if slot.state == "available"} == {("a", "1")}
        assert registry.ready and sorted(read) == ["a", "b", "c"]
        assert (await registry.get("a", "1")).version == "1"

    run(scenario)


def test_a_version_removed_while_it_loads_answers_who_asked_and_is_gone(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = artifact.load

    def remove_after(path: Path, **options: Any) -> Any:
        found = load(path, **options)
        shutil.rmtree(path)
        return found

    async def scenario() -> None:
        registry = Registry(root, load="lazy")
        await registry.look()
        monkeypatch.setattr(loading.artifact, "load", remove_after)
        asked = asyncio.create_task(registry.get("a"))
        while (root / "a" / "1").exists():
            await asyncio.sleep(0.001)
        await registry.look()
        assert (await asked).name == "a"
        await registry.look()
        assert ("a", "1") not in registry.loaded
        with pytest.raises(Problem):
            await registry.get("a")

    run(scenario)
