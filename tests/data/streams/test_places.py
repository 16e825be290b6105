"""Places: the same calls for paths and URLs, errors that name the place and no secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from ebm.data.streams import Place, is_url, open_place
from ebm.data.streams.local_place import LocalPlace
from ebm.data.streams.place import without_credentials
from ebm.data.streams.url_file import UrlFile
from ebm.data.streams.url_place import UrlPlace
from ebm.errors import BadInput


@pytest.fixture(params=["local", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "local":
        return open_place(tmp_path)
    return open_place(f"memory://{uuid4().hex}")


def write(place: Place, data: bytes) -> None:
    with place.open("wb") as file:
        file.write(data)


def content(place: Place) -> bytes:
    with place.open() as file:
        return file.read()


def test_a_file_is_written_found_renamed_and_removed(folder: Place) -> None:
    folder.mkdirs()
    first, second = folder.joinpath("a.txt"), folder.joinpath("b.txt")
    assert not first.exists()
    write(first, b"one")
    write(second, b"two")
    assert (first.size(), first.is_dir(), folder.is_dir()) == (3, False, True)
    assert [place.name for place in folder.iterdir()] == ["a.txt", "b.txt"]
    first.rename_to(second)
    assert content(second) == b"one"
    assert not first.exists()
    second.remove()
    second.remove()
    assert not second.exists()


def test_a_folder_moves_with_all_it_holds_but_not_onto_another(folder: Place) -> None:
    old, new = folder.joinpath("old"), folder.joinpath("new")
    old.joinpath("below").mkdirs()
    write(old.joinpath("a"), b"a")
    write(old.joinpath("below", "b"), b"b")
    old.rename_to(new)
    assert (content(new.joinpath("a")), content(new.joinpath("below/b"))) == (b"a", b"b")
    assert not old.exists()
    old.mkdirs()
    write(old.joinpath("c"), b"c")
    with pytest.raises(BadInput, match=r"old|new"):
        old.rename_to(new)
    assert content(old.joinpath("c")) == b"c"
    new.remove()
    assert not new.exists()


def test_identity_changes_with_the_content(folder: Place) -> None:
    folder.mkdirs()
    place = folder.joinpath("a")
    write(place, b"one")
    before = place.identity()
    assert before == place.identity()
    write(place, b"other")
    assert place.identity() != before


@pytest.mark.parametrize("call", ["open", "size", "identity"])
def test_what_is_missing_is_named(folder: Place, call: str) -> None:
    with pytest.raises(BadInput, match=r"gone\.csv: no such file"):
        getattr(folder.joinpath("gone.csv"), call)()


def test_a_new_file_does_not_replace_another(folder: Place) -> None:
    folder.mkdirs()
    write(folder.joinpath("a"), b"one")
    with pytest.raises(BadInput, match="a: .*[eE]xists|a: is there already"):
        folder.joinpath("a").open("xb")
    assert content(folder.joinpath("a")) == b"one"


def test_names() -> None:
    for place in (
        open_place("/data/Rows.CSV.gz"),
        open_place("s3x://".replace("s3x", "memory") + "data/Rows.CSV.gz"),
    ):
        assert (place.name, place.suffix, place.parent.name) == ("Rows.CSV.gz", ".csv.gz", "data")
        assert place.with_name("b.npy").suffix == ".npy"
    assert open_place("/data/.hidden").suffix == ""
    assert open_place("/data/archive.tar.gz").suffix == ".tar.gz"
    assert open_place(".").name == Path.cwd().name


def test_file_urls_are_local() -> None:
    place = open_place("file:///tmp/a%20b.csv")
    assert isinstance(place, LocalPlace)
    assert place.path == Path("/tmp/a b.csv")
    assert is_url("file:///tmp/a") and not is_url("/tmp/a") and not is_url(Path("s3://a"))
    with pytest.raises(BadInput, match="file:///path"):
        open_place("file://elsewhere/tmp/a.csv")


def test_the_same_file_by_other_names(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert open_place(tmp_path / "a").same_as(open_place(tmp_path / "x" / ".." / "a"))
    assert open_place(tmp_path / "link").same_as(open_place(f"file://{tmp_path}/a"))
    assert not open_place(tmp_path / "a").same_as(open_place("memory://a"))
    assert open_place("memory://a/b").same_as(open_place("memory:///a/b"))


@pytest.mark.parametrize("url", ["local:///etc/passwd", "reference://x", "dir::file:///etc", "ftp://host/x"])
def test_only_known_kinds_of_urls_are_opened(url: str) -> None:
    if is_url(url):
        with pytest.raises(BadInput, match="not a kind of URL"):
            open_place(url)
    else:
        assert not open_place(url).exists()


def test_a_missing_driver_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any, **__: Any) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("fsspec.filesystem", missing)
    with pytest.raises(BadInput, match=r"s3://bucket/a\.csv: .*pip install 'ebm-service\[s3\]'"):
        open_place("s3://key:secret@bucket/a.csv")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:secret@host/a.csv?X-Signature=secret#x", "https://host/a.csv"),
        ("s3://key:se@cret@bucket/what?is/a.csv", "s3://bucket/what?is/a.csv"),
        ("https://host?sig=secret", "https://host"),
        ("/a/path?x", "/a/path?x"),
    ],
)
def test_credentials_are_not_shown(url: str, shown: str) -> None:
    assert without_credentials(url) == shown


class Refusing:
    """A file system whose every call fails, as drivers do: with the whole URL in the message."""

    def __getattr__(self, _: str) -> Any:
        def fail(*_: Any, **__: Any) -> None:
            raise RuntimeError("403 for https://me:secret@host/a.csv?sig=secret\nsee the log")

        return fail


@pytest.mark.parametrize("call", ["open", "exists", "size", "identity"])
def test_what_a_driver_raises_is_one_line_without_secrets(call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place = open_place("memory://me:secret@host/a.csv")
    assert isinstance(place, UrlPlace)
    monkeypatch.setattr(place, "fs", Refusing())
    with pytest.raises(
        BadInput, match="^memory://host/a.csv: RuntimeError: 403 for https://host/a.csv"
    ) as caught:
        getattr(place, call)()
    assert "secret" not in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(BadInput, match="403"):
        UrlFile(Refusing(), place.url, "x").read(1)


class Trickling:
    """A connection: what has arrived is given, be it less than was asked for."""

    def __init__(self, data: bytes):
        self.data = data

    def read(self, size: int) -> bytes:
        part, self.data = (
            self.data[: min(3, size) if size > 0 else 3],
            self.data[min(3, size) if size > 0 else 3 :],
        )
        return part

    def writable(self) -> bool:
        return False

    def close(self) -> None:
        pass


def test_a_short_read_is_not_the_end() -> None:
    with UrlFile(Trickling(b"0123456789"), "https://host/a", "x") as file:
        assert [file.read(7), file.read(1), file.read(), file.read(5)] == [b"0123456", b"7", b"89", b""]


def test_a_failed_write_leaves_nothing_behind_a_url() -> None:
    place = open_place(f"memory://{uuid4().hex}/a")
    with pytest.raises(ZeroDivisionError), place.open("wb") as file:
        file.write(b"half")
        raise ZeroDivisionError
    assert not place.exists()


def test_http_is_only_read() -> None:
    pytest.importorskip("aiohttp")
    place = open_place("https://host/a.csv?token=1")
    assert (place.name, place.suffix) == ("a.csv", ".csv")
    assert place.with_name("b.csv").url == "https://host/b.csv?token=1"
    for call in (place.remove, place.mkdirs, lambda: place.open("wb"), lambda: place.rename_to(place)):
        with pytest.raises(BadInput, match="only read"):
            call()


def test_two_readers_of_one_memory_file_have_their_own_position() -> None:
    place = open_place(f"memory://{uuid4().hex}/a")
    write(place, b"abcd")
    with place.open() as one, place.open() as two:
        assert (one.read(2), two.read(2), one.read(2)) == (b"ab", b"ab", b"cd")
