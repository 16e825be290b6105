"""Letters A to J in the fonts that come with matplotlib: like notMNIST, which may not be copied, but drawn here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from _images_data import SIDE

FONTS = (
    "DejaVuSans*",
    "DejaVuSerif*",
    "STIXGeneral*",
    "cmb10*",
    "cmmi10*",
    "cmr10*",
    "cmss10*",
    "cmti10*",
    "cmtt10*",
)
LETTERS = "ABCDEFGHIJ"
FRAME = 2  # black on each side, as around every other image
POINTS = (26, 36)  # capitals are about .7 of it high
SHIFT = 2


def fonts() -> list[Path]:
    """Text fonts only: the display cuts have few letters of their own."""
    import matplotlib

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    found = {
        path for pattern in FONTS for path in folder.glob(f"{pattern}.ttf") if "Display" not in path.name
    }
    return sorted(found)


def letters(n: int, seed: int) -> np.ndarray:
    """n letters (n, 32, 32) float32 in [-1, 1], white on black.

    Letter, font, size (26 to 36 points) and place (within 2 pixels of the middle) are random.
    """
    from PIL import Image, ImageDraw, ImageFont

    rng = np.random.default_rng(seed)
    files, inside = fonts(), SIDE - 2 * FRAME
    cut: dict[tuple[int, int], ImageFont.FreeTypeFont] = {}
    out = np.full((n, SIDE, SIDE), -1, np.float32)
    for i in range(n):
        which = int(rng.integers(len(files))), int(rng.integers(POINTS[0], POINTS[1] + 1))
        if which not in cut:
            cut[which] = ImageFont.truetype(str(files[which[0]]), which[1])
        letter = LETTERS[int(rng.integers(len(LETTERS)))]
        left, top, right, bottom = cut[which].getbbox(letter)
        picture = Image.new("L", (inside, inside))
        x, y = (
            round((inside - size) / 2 + float(rng.uniform(-SHIFT, SHIFT)))
            for size in (right - left, bottom - top)
        )
        ImageDraw.Draw(picture).text((x - left, y - top), letter, fill=255, font=cut[which])
        out[i, FRAME:-FRAME, FRAME:-FRAME] = np.asarray(picture, np.float32) * (2 / 255) - 1
    return out
