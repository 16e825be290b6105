"""Roots: what lies under them and what only looks like it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ebm.errors import BadInput
from service.jobs.places import Roots


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    for name in ("in", "in-other", "in/data", "models"):
        (tmp_path / name).mkdir()
    for name in ("in/rows.csv", "in-other/secret.csv", "in/data/jobs.db", "secret.csv"):
        (tmp_path / name).write_text("a\n1\n")
    urls = ("s3://bucket/in", "https://Example.org/data/", "memory://box/")
    return Roots([f"{tmp_path}/in", *urls], tmp_path / "in" / "data", [tmp_path / "models"])


@pytest.mark.parametrize(
    ("place", "found"),
    [
        ("{tmp}/in/rows.csv", "{tmp}/in/rows.csv"),
        ("{tmp}/in", "{tmp}/in"),
        ("{tmp}/in/../in//./rows.csv", "{tmp}/in/rows.csv"),
        ("file://{tmp}/in/rows.csv", "{tmp}/in/rows.csv"),
        ("FILE://localhost{tmp}/in/rows%2Ecsv", "{tmp}/in/rows.csv"),
        ("s3://bucket/in/a%20b.parquet", None),
        ("s3://bucket/in", None),
        ("https://example.org/data/x.csv?sig=a/../b", None),
        ("memory://box/x.csv", None),
    ],
)
def test_what_lies_under_a_root_is_let_in(
    roots: Roots, tmp_path: Path, place: str, found: str | None
) -> None:
    asked = place.format(tmp=tmp_path)
    assert roots.input(asked) == (asked if found is None else found.format(tmp=tmp_path))


@pytest.mark.parametrize(
    "place",
    [
        "{tmp}/secret.csv",
        "{tmp}/in/../secret.csv",
        "{tmp}/in-other/secret.csv",
        "{tmp}/in/data/jobs.db",
        "{tmp}/in/link.csv",
        "{tmp}/in/folder/secret.csv",
        "file://{tmp}/in/%2e%2e/secret.csv",
        "file://elsewhere{tmp}/in/rows.csv",
        "s3://bucket/in/../secret.csv",
        "s3://bucket/in/%2e%2e/secret.csv",
        "s3://bucket/in/%252e%252e/secret.csv",
        "s3://bucket/in%2f..%2fsecret.csv",
        "s3://bucket/inside/x.csv",
        "s3://bucket//in/x.csv",
        "s3://bucket-of-others/in/x.csv",
        "s3://me@bucket/in/x.csv",
        "s3://bucket/in/*.csv",
        "s3://bucket/in/x.csv::file://{tmp}/secret.csv",
        "simplecache::s3://bucket/in/x.csv",
        "zip://x.csv::s3://bucket/in/x.zip",
        "local://{tmp}/in/rows.csv",
        "http://example.org/data/x.csv",
        "https://example.org.evil.net/data/x.csv",
        "https://example.org@evil.net/data/x.csv",
        "https://example.org:81/data/x.csv",
        "https://example.org/data\\..\\x.csv",
        "https://example.org/data/../x.csv",
        "memory://Box/x.csv",
        "https://[bad/x.csv",
        "{tmp}/in/rows.csv\0",
        "{tmp}/in/rows.csv\n",
        "",
        "rows.csv",
        "~/rows.csv",
        "{tmp}/in/" + "x" * 3000,
    ],
)
def test_what_only_looks_like_it_is_not(roots: Roots, tmp_path: Path, place: str) -> None:
    (tmp_path / "in" / "link.csv").symlink_to(tmp_path / "secret.csv")
    (tmp_path / "in" / "folder").symlink_to(tmp_path)
    with pytest.raises(BadInput, match=r"^input: .*(not under an allowed root|absolute path|nor a URL)"):
        roots.input(place.format(tmp=tmp_path))
    with pytest.raises(BadInput):
        roots.output(place.format(tmp=tmp_path))


def test_an_input_must_be_there_and_be_a_file_or_folder(roots: Roots, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "in" / "pipe.csv")
    for name, said in (("none.csv", "no such file"), ("pipe.csv", "neither a file nor a folder")):
        with pytest.raises(BadInput, match=said):
            roots.input(f"{tmp_path}/in/{name}")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads and writes everything")
def test_what_the_server_may_not_read_or_write_is_refused(roots: Roots, tmp_path: Path) -> None:
    (tmp_path / "in" / "rows.csv").chmod(0)
    with pytest.raises(BadInput, match="cannot be read"):
        roots.input(f"{tmp_path}/in/rows.csv")
    (tmp_path / "in").chmod(0o500)
    with pytest.raises(BadInput, match="cannot write"):
        roots.output(f"{tmp_path}/in/out.csv")
    (tmp_path / "in").chmod(0o700)


def test_an_output_lies_below_a_root_and_its_suffix_is_a_format(roots: Roots, tmp_path: Path) -> None:
    (tmp_path / "in" / "parts").mkdir()
    for good in ("out.parquet", "out.CSV.GZ", "out.npy", "new-parts", "parts", "rows.csv"):
        assert roots.output(f"{tmp_path}/in/{good}") == f"{tmp_path}/in/{good}"
    assert roots.output("s3://bucket/in/out.parquet") == "s3://bucket/in/out.parquet"
    for bad, said in (
        (f"{tmp_path}/in/out.xlsx", "must end in .parquet"),
        (f"{tmp_path}/in/out.gz", "must end in"),
        (f"{tmp_path}/in/none/out.csv", "does not exist"),
        (f"{tmp_path}/in", "is a root itself"),
        ("s3://bucket/in/", "is a root itself"),
        ("https://example.org/data/out.csv", "cannot be written to"),
        (f"{tmp_path}/in/rows", "must|"),
    ):
        if said != "must|":
            with pytest.raises(BadInput, match=said):
                roots.output(bad)
    (tmp_path / "in" / "file").write_text("x")
    with pytest.raises(BadInput, match="is a file already"):
        roots.output(f"{tmp_path}/in/file")
    (tmp_path / "in" / "folder.csv").mkdir()
    with pytest.raises(BadInput, match="is a folder already"):
        roots.output(f"{tmp_path}/in/folder.csv")
    wide = Roots([str(tmp_path)], tmp_path / "in" / "data", [tmp_path / "models"])
    with pytest.raises(BadInput, match="jobs do not write there"):
        wide.output(f"{tmp_path}/models/x.csv")


def test_without_roots_nothing_is_reached(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a\n1\n")
    with pytest.raises(BadInput, match=r"EBM_JOB_ROOTS: none"):
        Roots([], tmp_path / "data").input(f"{tmp_path}/rows.csv", tell=True)


def test_what_the_server_made_is_known_as_such(tmp_path: Path) -> None:
    roots = Roots([], tmp_path / "data")
    assert roots.made_here(f"{tmp_path}/data/uploads/1/rows.csv")
    assert roots.made_here(f"{tmp_path}/data/results/{{job}}/out.csv")
    for other in ("data/jobs.db", "data/uploads/../jobs.db", "data/uploads-other/x", "x"):
        assert not roots.made_here(f"{tmp_path}/{other}"), other
    assert not roots.made_here("s3://bucket/uploads/x")


def test_a_url_is_named_without_its_signature(roots: Roots) -> None:
    with pytest.raises(BadInput) as caught:
        roots.input("https://me:secret@example.org/x.csv?sig=secret")
    assert "secret" not in str(caught.value)
