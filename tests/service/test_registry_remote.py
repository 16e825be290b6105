"""Models of a URL, mirrored into a cache folder."""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from ebm import artifact
from ebm.errors import BadConfig
from service.errors import Problem
from service.registry import Registry
from service.registry.opening import open_store
from service.registry.remote import Remote, user_cache
from service.registry.store import Folder, Found

ROWS = np.full((2, 6, 5), 8.0)


class Bucket:
    """memory:// behind a count of what is asked of it, and a way to make it fail."""

    def __init__(self, url: str):
        self.url, self.files = url, MemoryFileSystem()
        self.root = url.removeprefix("memory:/")

    def put(self, path: Path, to: str, *, but: str | None = None) -> None:
        for file in path.iterdir():
            if file.name != but:
                self.write(f"{to}/{file.name}", file.read_bytes())

    def write(self, path: str, data: bytes) -> None:
        self.files.pipe(f"{self.root}/{path}", data)


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    made = Bucket(f"memory://{uuid.uuid4().hex}/models")
    yield made
    if made.files.exists(made.root):
        made.files.rm(made.root, recursive=True)


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are downloaded, manifests aside."""
    names: list[str] = []
    get_file = MemoryFileSystem.get_file

    def note(self: Any, remote: str, local: str, **options: Any) -> Any:
        names.append(remote.rsplit("/", 1)[1])
        return get_file(self, remote, local, **options)

    monkeypatch.setattr(MemoryFileSystem, "get_file", note)
    return names


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(scenario(), 60)

    asyncio.run(bounded())


def test_versions_are_mirrored_once_and_the_default_file_is_followed(
    bucket: Bucket, models_dir: Path, tmp_path: Path, fetched: list[str]
) -> None:
    bucket.put(models_dir / "blobs" / "1", "blobs/1")
    bucket.put(models_dir / "blobs" / "2", "blobs/2")
    expected = artifact.load(models_dir / "blobs" / "2").score(ROWS).energy

    async def scenario() -> None:
        registry = Registry(bucket.url, cache_dir=tmp_path)
        await registry.look()
        np.testing.assert_array_equal((await registry.get("blobs")).detector.score(ROWS).energy, expected)
        assert len(fetched) == 6
        bucket.write("blobs/default", b"1\n")
        assert (await registry.look()).defaults == {"blobs": ("2", "1")}
        bucket.files.rm(f"{bucket.root}/blobs/2", recursive=True)
        assert (await registry.look()).removed == [("blobs", "2")]

        again = Registry(bucket.url, cache_dir=tmp_path)
        await again.look()
        assert (await again.get("blobs")).version == "1" and len(fetched) == 6

    run(scenario)
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".")]


def test_a_half_uploaded_version_is_refused_until_it_is_whole(
    bucket: Bucket, models_dir: Path, tmp_path: Path
) -> None:
    source = models_dir / "blobs" / "1"

    async def scenario() -> None:
        for load in ("eager", "lazy"):
            registry = Registry(bucket.url, load=load, cache_dir=tmp_path / load)
            bucket.put(source, "blobs/1", but=artifact.MANIFEST)
            await registry.look()
            assert registry.refused["blobs", "1"].reason == "blobs/1/manifest.json: missing"
            bucket.write("blobs/1/manifest.json", (source / artifact.MANIFEST).read_bytes())
            bucket.write("blobs/1/weights.safetensors", b"the first half")
            await registry.look()
            with pytest.raises(Problem) as caught:
                await registry.get("blobs")
            assert "blobs/1/weights.safetensors: altered" in caught.value.detail
            assert str(tmp_path) not in caught.value.detail
            bucket.put(source, "blobs/1")
            await registry.look()
            assert (await registry.get("blobs")).version == "1"
            bucket.files.rm(bucket.root, recursive=True)

    run(scenario)


def test_a_spoilt_cache_is_fetched_again(
    bucket: Bucket, models_dir: Path, tmp_path: Path, fetched: list[str]
) -> None:
    bucket.put(models_dir / "blobs" / "1", "blobs/1")
    store = Remote(bucket.url, tmp_path)
    (found,) = store.look().versions.values()
    path = store.fetch(found)
    assert store.fetch(found) == path and len(fetched) == 3
    (path / artifact.WEIGHTS).write_bytes(b"spoilt")
    artifact.verify(store.fetch(found))
    assert len(fetched) == 6
    (Remote(bucket.url, tmp_path).fetch(found) / artifact.CARD).unlink()
    artifact.verify(Remote(bucket.url, tmp_path).fetch(found))
    assert len(fetched) == 9


def test_a_store_that_is_away_changes_nothing_and_an_evicted_model_still_loads(
    bucket: Bucket, models_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put(models_dir / "blobs" / "1", "a/1")
    bucket.put(models_dir / "blobs" / "1", "b/1")

    def away(*_: Any, **__: Any) -> None:
        raise ConnectionError("the network is away")

    async def scenario() -> None:
        registry = Registry(bucket.url, load="lazy", max_model_bytes=1, cache_dir=tmp_path)
        await registry.look()
        await registry.get("a")
        await registry.get("b")
        for name in ("find", "cat_file", "get_file"):
            monkeypatch.setattr(MemoryFileSystem, name, away)
        changes = await registry.look()
        assert changes.failed == "ConnectionError: the network is away" == registry.problem
        assert (await registry.get("a")).name == "a"

    run(scenario)


def test_an_emptied_bucket_is_taken_for_a_mistake(bucket: Bucket, models_dir: Path, tmp_path: Path) -> None:
    bucket.put(models_dir / "blobs" / "1", "a/1")

    async def scenario() -> None:
        registry = Registry(bucket.url, cache_dir=tmp_path)
        await registry.look()
        bucket.files.rm(bucket.root, recursive=True)
        assert "nothing is published" in ((await registry.look()).failed or "")
        assert (await registry.get("a")).name == "a"

    run(scenario)


@pytest.mark.parametrize(
    "strange", ["../../escaped/1", "a/../../b", ".hidden/1", "a/.1.77.tmp", "a b/1", "a\\b/1"]
)
def test_names_that_lead_elsewhere_are_no_models(
    bucket: Bucket, models_dir: Path, tmp_path: Path, strange: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = {file.name: file.read_bytes() for file in (models_dir / "blobs" / "1").iterdir()}
    listed = {f"{bucket.root}/{strange}/{name}": {"size": len(item)} for name, item in data.items()}
    bucket.put(models_dir / "blobs" / "1", "good/1")
    find = MemoryFileSystem.find
    monkeypatch.setattr(
        MemoryFileSystem, "find", lambda self, root, **options: {**find(self, root, **options), **listed}
    )
    cache = tmp_path / "deep" / "cache"
    found = Remote(bucket.url, cache).look()
    assert list(found.versions) == [("good", "1")]


def test_which_store_a_setting_means(tmp_path: Path) -> None:
    assert isinstance(open_store(tmp_path), Folder) and isinstance(open_store("models"), Folder)
    assert open_store(f"file://{tmp_path}").fetch(Found("a", "1", (), 0)) == tmp_path / "a" / "1"
    assert open_store("memory://x", tmp_path).is_remote
    with pytest.raises(BadConfig, match="nope"):
        open_store("nope://x", tmp_path)


def test_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(BadConfig, match=r"pip install 'ebm-service\[s3\]'"):
        Remote("s3://bucket/models", tmp_path)


def test_the_cache_is_the_users_own_by_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_cache() == tmp_path / "ebm-service" / "models"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert user_cache() == Path.home() / ".cache" / "ebm-service" / "models"
