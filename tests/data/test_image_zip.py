"""A zip of images reads as the folder that it packs."""

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from ebm.data import ReadOptions, image_zip, read
from ebm.errors import BadConfig, BadInput

RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 256, (3, 6, 5)).astype(np.uint8)
COLOUR = RNG.integers(0, 256, (3, 6, 5, 3)).astype(np.uint8)


def encode(image, kind="PNG"):
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind)
    return file.getvalue()


def pack(path, images, names, *, extra=(), method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for image, name in zip(images, names, strict=True):
            archive.writestr(name, encode(image))
        for name, content in extra:
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("names", [["b.png", "c.PNG", "a.png"], ["all/b.png", "all/c.png", "all/a.png"]])
def test_images_come_in_the_order_of_their_names(tmp_path, names):
    table = read(pack(tmp_path / "x.zip", COLOUR, names))
    np.testing.assert_array_equal(table.values, COLOUR[[2, 0, 1]])
    assert table.source == "x.zip"
    # As in a folder: one sub-folder is a label like any other.
    assert (None if table.labels is None else set(table.labels)) == (None if "/" not in names[0] else {"all"})


@pytest.mark.parametrize("around", ["", "set/", "a/b/"])
def test_sub_folders_are_labels(tmp_path, around):
    names = [f"{around}{name}" for name in ("dog/1.png", "cat/1.png", "dog/0.png")]
    extra = [
        (f"__MACOSX/{around}dog/1.png", b"x"),
        (f"{around}dog/._1.png", b"x"),
        (f"{around}dog/.hidden.png", b"x"),
        (f"{around}notes.txt", b"x"),
        (f"{around}empty/", b""),
    ]
    table = read(pack(tmp_path / "x.zip", GRAY, names, extra=extra))
    np.testing.assert_array_equal(table.values, GRAY[[1, 2, 0]])
    assert table.labels is not None and table.labels.tolist() == ["cat", "dog", "dog"]


def test_a_folder_and_its_zip_are_the_same_data(tmp_path):
    images = [GRAY[0], COLOUR[0], GRAY[1][:4]]
    names = ["a/1.png", "b/1.png", "b/2.png"]
    for image, name in zip(images, names, strict=True):
        (tmp_path / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / name).write_bytes(encode(image))
    options = ReadOptions(size=(7, 7))
    packed = read(pack(tmp_path / "x.zip", images, names), options)
    assert packed.fingerprint() == read(tmp_path / "folder", options).fingerprint()
    assert packed.values.shape == (3, 7, 7, 3)


def test_nothing_is_written_outside_or_inside(tmp_path):
    (tmp_path / "in").mkdir()
    table = read(pack(tmp_path / "in" / "x.zip", GRAY, ["../../evil/1.png", "/a/2.png", "/a/3.png"]))
    assert len(table) == 2  # a path that climbs is no path within the zip
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["in", "x.zip"]


@pytest.mark.parametrize(
    "names, message",
    [
        (["a.txt", "b.txt", "c.gif"], "x.zip: no PNG or JPEG files"),
        (["dog/1.png", "cat/1.png", "stray.png"], "stray.png has no label"),
        (["dog/1.png", "cat/old/1.png", "cat/2.png"], "x.zip/cat/old/1.png: lies deeper"),
    ],
)
def test_zips_without_clear_labels(tmp_path, names, message):
    with pytest.raises(BadInput, match=message):
        read(pack(tmp_path / "x.zip", GRAY, names))


def test_a_damaged_image_is_named(tmp_path):
    extra = [("d.png", encode(GRAY[0])[:40])]
    with pytest.raises(BadInput, match="x.zip/d.png: ") as caught:
        read(pack(tmp_path / "x.zip", GRAY, ["a.png", "b.png", "e.png"], extra=extra))
    assert caught.value.row == 2
    with pytest.raises(
        BadInput, match="x.zip/f.png: 6 x 4 pixels, the images before it 6 x 5; option 'size'"
    ):
        read(pack(tmp_path / "x.zip", [*GRAY, GRAY[0][:, :4]], ["a.png", "b.png", "e.png", "f.png"]))


def test_every_truncation_is_one_line(tmp_path):
    whole = pack(tmp_path / "x.zip", GRAY, ["a.png", "b.png", "c.png"]).read_bytes()
    for length in range(0, len(whole), 3):
        (tmp_path / "x.zip").write_bytes(whole[:length])
        with pytest.raises(BadInput, match="^x.zip") as caught:
            read(tmp_path / "x.zip")
        assert "\n" not in str(caught.value)


def test_altered_bytes_never_crash(tmp_path):
    whole = pack(tmp_path / "x.zip", GRAY, ["a.png", "b.png", "c.png"]).read_bytes()
    rng = np.random.default_rng(2)
    refused = 0
    for _ in range(300):
        data = bytearray(whole)
        for at in rng.integers(0, len(data), 2):
            data[at] = rng.integers(256)
        (tmp_path / "x.zip").write_bytes(data)
        try:
            read(tmp_path / "x.zip")
        except BadInput:
            refused += 1
    assert refused > 100


def test_what_unpacks_to_too_much_is_refused_unread(tmp_path, monkeypatch):
    path = pack(tmp_path / "x.zip", [], [], extra=[("a.png", bytes(100_000)), ("b.png", bytes(100_000))])
    assert path.stat().st_size < 2_000
    monkeypatch.setattr(image_zip, "MAX_FILE_BYTES", 99_999)
    with pytest.raises(BadInput, match="x.zip/a.png: unpacks to 100000 bytes, more than the limit of 99999"):
        read(path)
    monkeypatch.setattr(image_zip, "MAX_FILE_BYTES", 100_000)
    monkeypatch.setattr(image_zip, "MAX_BYTES", 199_999)
    with pytest.raises(BadInput, match="x.zip: the images unpack to 200000 bytes"):
        read(path)


def test_options_of_other_formats(tmp_path):
    with pytest.raises(BadConfig, match="x.zip: option 'label_column' does not apply"):
        read(pack(tmp_path / "x.zip", GRAY, ["a.png", "b.png", "c.png"]), ReadOptions(label_column="y"))
