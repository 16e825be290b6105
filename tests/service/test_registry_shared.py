"""Load and unload, in one process and across those that share a folder."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from ebm import artifact
from service.errors import Problem
from service.registry import Registry
from service.registry.shared import FILE, Asked, Shared
from service.registry.store import Look


@pytest.fixture
def root(models_dir: Path, tmp_path: Path) -> Path:
    """a 1, a 2 and b 1."""
    for name, version in (("a", "1"), ("a", "2"), ("b", "1")):
        shutil.copytree(models_dir / "blobs" / "1", tmp_path / "models" / name / version)
    return tmp_path / "models"


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(scenario(), 60)

    asyncio.run(bounded())


async def status(registry: Registry, *asked: str) -> int:
    try:
        await registry.get(*asked)
    except Problem as problem:
        return problem.status
    return 200


def test_what_is_unloaded_stays_so_until_it_is_loaded_again(root: Path, models_dir: Path) -> None:
    async def scenario() -> None:
        registry = Registry(root)
        await registry.look()
        held = await registry.get("a")
        registry.unload("a")
        assert await status(registry, "a") == await status(registry, "a", "1") == 503
        assert held.detector.name == "blobs" and await status(registry, "b") == 200
        shutil.copytree(models_dir / "blobs" / "1", root / "a" / "3")
        await registry.look()
        await registry.reload()
        assert await status(registry, "a", "3") == 503  # all versions, those to come too
        assert [one["reason"] for one in registry.index()] == ["unloaded"] * 3 + [""]
        assert registry.numbers.unloaded == 3 and registry.numbers.loaded == 1

        registry.unload("b")
        await registry.load("a", "1")
        assert await status(registry, "a", "2") == await status(registry, "b") == 503
        assert (await registry.get("a")).version == "1"
        await registry.load("a")
        assert registry.versions("a") == ["1", "2", "3"]
        assert [one.is_default for one in registry.loaded.values()] == [False, False, True]

    run(scenario)


def test_an_unload_during_a_look_holds(root: Path) -> None:
    async def scenario() -> None:
        registry = Registry(root)
        await registry.look()
        list_all, loop = registry.store.look, asyncio.get_running_loop()

        def unload_meanwhile() -> Look:
            asyncio.run_coroutine_threadsafe(unload(), loop).result(10)
            return list_all()

        async def unload() -> None:
            registry.unload("a")

        registry.store.look = unload_meanwhile
        await registry.look()
        assert await status(registry, "a") == 503

    run(scenario)


def test_one_version_is_unloaded_and_the_bare_name_falls_back(root: Path) -> None:
    async def scenario() -> None:
        registry = Registry(root)
        await registry.look()
        registry.unload("a", "2")
        assert (await registry.get("a")).version == "1"
        assert registry.note("a") == "version 2 is unloaded; 'a' means version 1"
        await registry.load("a", "2")
        assert (await registry.get("a")).version == "2"

    run(scenario)


def test_unknown_and_broken_models(root: Path) -> None:
    async def scenario() -> None:
        registry = Registry(root)
        await registry.look()
        with pytest.raises(Problem) as caught:
            registry.unload("c")
        assert caught.value.status == 404
        with pytest.raises(Problem) as caught:
            await registry.load("a", "9")
        assert caught.value.status == 404
        (root / "b" / "1" / artifact.WEIGHTS).write_bytes(b"altered")
        with pytest.raises(Problem) as caught:
            await registry.load("b")
        assert caught.value.status == 503

    run(scenario)


def test_load_brings_a_lazy_model_and_one_just_published_into_memory(root: Path, models_dir: Path) -> None:
    async def scenario() -> None:
        registry = Registry(root, load="lazy")
        await registry.look()
        shutil.copytree(models_dir / "blobs" / "2", root / "c" / "1")
        await registry.load("c")
        await registry.load("a", "1")
        assert set(registry.loaded) == {("c", "1"), ("a", "1")}

    run(scenario)


def test_commands_in_one_process_reach_the_others(root: Path, models_dir: Path, tmp_path: Path) -> None:
    async def scenario() -> None:
        shared = tmp_path / "run"
        first, second = (Registry(root, watch_s=0, runtime_dir=shared) for _ in range(2))
        for registry in (first, second):
            registry._watch.follow_s = 0.01
            await registry.start()

        async def until(condition: Callable[[], bool]) -> None:
            while not condition():
                await asyncio.sleep(0.005)

        first.unload("a")
        await until(lambda: second.slots["a", "1"].unloaded)
        assert await status(second, "a") == 503
        second.unload("b")
        await until(lambda: first.slots["b", "1"].unloaded)
        assert await status(first, "a") == 503  # not forgotten over the other's command
        await second.load("a")
        await until(lambda: ("a", "2") in first.loaded)
        assert await status(first, "a") == 200

        shutil.copytree(models_dir / "blobs" / "2", root / "c" / "1")
        await first.reload()
        await until(lambda: ("c", "1") in second.loaded)
        late = Registry(root, runtime_dir=shared)
        await late.start()
        assert await status(late, "b") == 503
        await first.load("b")
        await until(lambda: ("b", "1") in second.loaded)
        for registry in (first, second, late):
            await registry.stop()

    run(scenario)


def test_a_reload_elsewhere_is_not_lost_over_an_unload_here(
    root: Path, models_dir: Path, tmp_path: Path
) -> None:
    async def scenario() -> None:
        first, second = (Registry(root, watch_s=0, runtime_dir=tmp_path / "run") for _ in range(2))
        await first.look()
        await second.look()
        await first.reload()
        second.unload("b")
        second._watch.follow_s = 0.01
        shutil.copytree(models_dir / "blobs" / "2", root / "c" / "1")
        second._watch.start()
        while ("c", "1") not in second.loaded:
            await asyncio.sleep(0.005)
        await second.stop()

    run(scenario)


def test_a_torn_file_keeps_what_was_known_and_is_read_again(tmp_path: Path) -> None:
    shared = Shared(tmp_path)
    asked = shared.update(lambda one: one.unload("a", None))
    (tmp_path / FILE).write_text('{"unloaded": [["a"')
    assert shared.changed()
    assert shared.read() == asked and shared.changed()
    (tmp_path / FILE).write_text('{"unloaded": [], "reloads": 3}')
    assert shared.read() == Asked(reloads=3) and not shared.changed()


def test_the_lock_lets_no_command_get_lost(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def unload(i: int) -> None:
        Shared(tmp_path).update(lambda asked: asked.unload(f"m{i}", None))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(unload, range(64)))
    assert len(Shared(tmp_path).read().unloaded) == 64
