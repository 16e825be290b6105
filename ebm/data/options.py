"""What a user may say about a file beyond its name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from ebm.config import Frozen
from ebm.errors import BadConfig

# What a reader may find in the cells of a table: numbers only, as every energy takes them; any type a column may
# have; or columns of known types, by name, as the schema of a model calls them.
Cells = Literal["numbers", "mixed"] | Mapping[str, str]


Pixels = Annotated[int, Field(ge=1, le=4096)]


class ReadOptions(Frozen):
    """How to read one file. An option that a format does not know is an error, not ignored.

    columns: csv, parquet: the feature columns, in this order; default all but `label_column`, `group` and `ignore`.
    ignore: csv, parquet: columns to leave out, e.g. an id.
    label_column: csv, parquet: the column that holds labels.
    group: what rows belong together, e.g. the photo that pictures were cut from, and so stay on one side of a split.
        csv, parquet: a column; npz: an array; image folder, zip: a regular expression with one group, searched in each
        file's path below the folder, e.g. "(part[0-9]+)_".
    header: csv: whether the first line holds names; default: it does unless all its cells are numbers.
    values_key, label_key: npz: the arrays to take; default X/y, x/y, images/labels, data/target.
    labels_path: npy, idx: a second file of the same kind that holds the labels.
    image_column: parquet: the column of images, PNG or JPEG bytes or the structs {bytes, path} of Hugging Face; default
        the only column that can be one.
    image_mode: image folder, zip, image column: "L" (gray) or "RGB"; default L if every image is gray.
    size: all images, arrays too: (height, width) to fit each to; larger ones are reduced by one factor, none enlarged
        or stretched, see `ebm.data.picture_size`.
    allow_missing: csv, parquet, npy, npz: missing cells become NaN instead of an error.
    """

    columns: tuple[str, ...] | None = None
    ignore: tuple[str, ...] = ()
    label_column: str | None = None
    group: str | None = Field(default=None, min_length=1)
    header: bool | None = None
    values_key: str | None = None
    label_key: str | None = None
    labels_path: str | None = None
    image_column: str | None = None
    image_mode: Literal["L", "RGB"] | None = None
    size: tuple[Pixels, Pixels] | None = None
    allow_missing: bool = False

    def only(self, path: Path | str, allowed: set[str]) -> None:
        """Refuse options that are set but mean nothing for the format of `path`.

        Raises:
            BadConfig: names the file and the option.
        """
        for key in ReadOptions.model_fields:
            if key not in allowed and getattr(self, key) != ReadOptions.model_fields[key].default:
                raise BadConfig(f"{path}: option '{key}' does not apply to this format")
