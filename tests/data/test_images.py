import io

import numpy as np
import pytest
from PIL import Image

from ebm.data import ReadOptions, parse_image, read
from ebm.errors import BadInput

RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 256, (3, 6, 5)).astype(np.uint8)
COLOUR = RNG.integers(0, 256, (3, 6, 5, 3)).astype(np.uint8)


def encode(array, kind="PNG", mode=None, **options):
    file = io.BytesIO()
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    (image.convert(mode) if mode else image).save(file, kind, **options)
    return file.getvalue()


def test_png_is_exact():
    np.testing.assert_array_equal(parse_image(encode(GRAY[0]), "x"), GRAY[0])
    np.testing.assert_array_equal(parse_image(encode(COLOUR[0]), "x"), COLOUR[0])


def test_jpeg_is_close():
    smooth = np.add.outer(np.arange(32) * 3, np.arange(32) * 4).astype(np.uint8)
    got = parse_image(encode(smooth, "JPEG", quality=95), "x")
    assert got.shape == (32, 32)
    assert np.abs(got.astype(int) - smooth).max() < 12


def test_modes():
    assert parse_image(encode(GRAY[0]), "x", "RGB").shape == (6, 5, 3)
    assert parse_image(encode(COLOUR[0]), "x", "L").shape == (6, 5)
    assert parse_image(encode(COLOUR[0], mode="P"), "x").shape == (6, 5, 3)
    black_white = parse_image(encode(GRAY[0], mode="1"), "x")
    assert set(np.unique(black_white)) <= {0, 255} and black_white.shape == (6, 5)


def test_transparency_is_laid_on_black():
    layer = np.zeros((1, 2, 4), np.uint8)
    layer[0, 0] = (200, 100, 50, 255)
    layer[0, 1] = (200, 100, 50, 0)
    np.testing.assert_array_equal(parse_image(encode(layer), "x"), [[[200, 100, 50], [0, 0, 0]]])
    gray = Image.merge("LA", [Image.new("L", (1, 1), 80), Image.new("L", (1, 1), 255)])
    np.testing.assert_array_equal(parse_image(encode(gray), "x"), [[80]])


def test_orientation_is_applied():
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    assert parse_image(encode(GRAY[0], "JPEG", exif=exif), "x").shape == (5, 6)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_every_truncation_is_one_line(kind):
    whole = encode(COLOUR[0], kind)
    refused = 0
    for length in range(len(whole)):
        try:
            np.testing.assert_array_equal(parse_image(whole[:length], "cut.png"), parse_image(whole, "x"))
        except BadInput as error:
            assert str(error).startswith("cut.png: ") and "\n" not in str(error)
            refused += 1
    # The last checksums and the end mark hold no pixels; a decoder may do without them.
    assert refused >= len(whole) - 20


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_altered_bytes_never_crash(kind):
    whole = encode(COLOUR[0], kind)
    rng = np.random.default_rng(3)
    read_anyway = 0
    for _ in range(300):
        data = bytearray(whole)
        for at in rng.integers(0, len(data), 3):
            data[at] = rng.integers(256)
        try:
            assert parse_image(bytes(data), "x").dtype == np.uint8
            read_anyway += 1
        except BadInput:
            pass
    assert read_anyway < 300


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "WEBP"])
def test_other_formats_are_refused(kind):
    with pytest.raises(BadInput, match="x.png: not a readable image: neither PNG nor JPEG"):
        parse_image(encode(COLOUR[0], kind), "x.png")


def test_pixel_limit_comes_before_decoding():
    data = encode(np.zeros((300, 200), np.uint8))
    with pytest.raises(BadInput, match="x: 300 x 200 pixels, more than the limit of 59999"):
        parse_image(data, "x", max_pixels=59_999)
    # Cut off after the header: only the size can have been looked at.
    with pytest.raises(BadInput, match="more than the limit"):
        parse_image(data[:60], "x", max_pixels=59_999)
    assert parse_image(data, "x", max_pixels=60_000).shape == (300, 200)


def test_a_bomb_is_refused():
    bomb = encode(Image.new("1", (20_000, 20_000)))
    assert len(bomb) < 100_000
    with pytest.raises(BadInput, match="^x: "):
        parse_image(bomb, "x")


def test_sixteen_bits_are_refused():
    with pytest.raises(BadInput, match="over 8 bits"):
        parse_image(encode(GRAY[0].astype(np.uint16) * 256), "x")


def folder(path, images, names):
    for image, name in zip(images, names, strict=True):
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_bytes(encode(image))
    return path


def test_flat_folder_in_order_of_names(tmp_path):
    table = read(folder(tmp_path, GRAY, ["c.png", "a.PNG", "b.png"]))
    np.testing.assert_array_equal(table.values, GRAY[[1, 2, 0]])
    assert table.labels is None
    assert table.source == tmp_path.name


def test_sub_folders_are_labels(tmp_path):
    folder(tmp_path, COLOUR, ["dog/1.png", "cat/1.png", "dog/0.png"])
    (tmp_path / "cat" / "notes.txt").write_text("not an image")
    (tmp_path / ".hidden").mkdir()
    table = read(tmp_path)
    np.testing.assert_array_equal(table.values, COLOUR[[1, 2, 0]])
    assert table.labels is not None and table.labels.tolist() == ["cat", "dog", "dog"]


def test_gray_and_colour_together_become_colour(tmp_path):
    folder(tmp_path, [GRAY[0], COLOUR[0]], ["a.png", "b.png"])
    assert read(tmp_path).values.shape == (2, 6, 5, 3)
    assert read(tmp_path, ReadOptions(image_mode="L")).values.shape == (2, 6, 5)


def test_images_of_two_sizes(tmp_path):
    folder(tmp_path, [GRAY[0], GRAY[1][:4]], ["a.png", "b.png"])
    with pytest.raises(BadInput, match="/b.png: 4 x 5 pixels, the images before it 6 x 5"):
        read(tmp_path)


def test_images_beside_sub_folders(tmp_path):
    folder(tmp_path, GRAY, ["dog/1.png", "cat/1.png", "stray.png"])
    with pytest.raises(BadInput, match="stray.png has no label"):
        read(tmp_path)


def test_folder_without_images(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(BadInput, match="no PNG or JPEG files"):
        read(tmp_path)


def test_a_broken_image_is_named(tmp_path):
    folder(tmp_path, GRAY, ["x/a.png", "x/b.png", "y/a.png"])
    whole = (tmp_path / "x" / "b.png").read_bytes()
    (tmp_path / "x" / "b.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadInput, match="/x/b.png: the image is damaged"):
        read(tmp_path)
    (tmp_path / "x" / "b.png").write_text("no image at all")
    with pytest.raises(BadInput, match="/x/b.png: not a readable image"):
        read(tmp_path)
