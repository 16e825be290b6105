"""From the bytes of PNG and JPEG files to rows of a model: its size, its channels, its range of pixel values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ebm.data.picture import parse_image
from ebm.data.picture_size import fit_to
from ebm.data.streams.protocol import Bad
from ebm.errors import BadInput, Unsupported


class ImageDecoder:
    """Pictures as (height, width) or (height, width, 3) float32: 0..255 to low..high, those of another size fitted by
    the rule of `ebm.data.picture_size`.

    Args:
        schema: of an image model's input: kind, height, width, channels, low, high.

    Attributes:
        fitted: how many pictures had another size, so far.

    Raises:
        Unsupported: the model takes no pictures.
    """

    def __init__(self, schema: Mapping[str, Any]):
        if schema.get("kind") != "image":
            raise Unsupported("this model takes rows of a table, not pictures")
        if schema["channels"] not in (1, 3):
            raise Unsupported(f"pictures have 1 or 3 channels, the model takes {schema['channels']}")
        self.size = (int(schema["height"]), int(schema["width"]))
        self.gray = schema["channels"] == 1
        self.low, self.high = float(schema["low"]), float(schema["high"])
        self.shape = self.size if self.gray else (*self.size, 3)
        self.fitted = 0

    @staticmethod
    def like(data: bytes, name: str) -> ImageDecoder:
        """For pictures of the size and mode of this one, values 0 to 255."""
        pixels = parse_image(data, name)
        channels = 1 if pixels.ndim == 2 else 3
        height, width = pixels.shape[:2]
        schema = {
            "kind": "image",
            "height": height,
            "width": width,
            "channels": channels,
            "low": 0,
            "high": 255,
        }
        return _Exact(schema)

    def decode(self, data: bytes, name: str) -> np.ndarray:
        """Raises BadInput, which names the file."""
        pixels = parse_image(data, name, "L" if self.gray else "RGB")
        if pixels.shape[:2] != self.size:
            pixels = self.fit(pixels, name)
        return (self.low + pixels.astype(np.float64) * ((self.high - self.low) / 255.0)).astype(np.float32)

    def fit(self, pixels: np.ndarray, name: str) -> np.ndarray:
        self.fitted += 1
        return fit_to(pixels, self.size)

    def rows(
        self, found: Sequence[tuple[str, bytes | BadInput]], first: int, column: str | None = None
    ) -> tuple[np.ndarray, tuple[Bad, ...]]:
        """(n, ...) values, those of bad rows 0, and the bad rows.

        Args:
            found: name and bytes of each row, or why there are none.
            first: number of the first row.
            column: of a table, to be named in the bad rows.
        """
        values = np.zeros((len(found), *self.shape), np.float32)
        bad: list[Bad] = []
        for i, (name, data) in enumerate(found):
            try:
                if isinstance(data, BadInput):
                    raise data
                values[i] = self.decode(data, name)
            except BadInput as error:
                bad.append(Bad(first + i, str(error), column))
        return values, tuple(bad)


class _Exact(ImageDecoder):
    """Without a model there is no size to fit to."""

    def fit(self, pixels: np.ndarray, name: str) -> np.ndarray:
        sizes = [" x ".join(str(n) for n in size) for size in (pixels.shape[:2], self.size)]
        raise BadInput(f"{name}: {sizes[0]} pixels, the images before it {sizes[1]}")
