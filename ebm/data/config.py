"""Where training data come from, as configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StrictInt, StrictStr

from ebm.config import Frozen
from ebm.data.builtin import BuiltinName, load_builtin
from ebm.data.options import Cells, ReadOptions
from ebm.data.readers import read
from ebm.data.table import Table, normal_mask
from ebm.data.toy import ToyData

Labels = tuple[StrictInt | StrictStr, ...]


class BuiltinData(Frozen):
    """A set that ships with scikit-learn.

    normal: the labels regarded as normal; None (the default) means all.
    """

    kind: Literal["builtin"] = "builtin"
    name: BuiltinName
    normal: Labels | None = Field(default=None, min_length=1)

    def load(self, base_dir: Path, cells: Cells = "numbers") -> Table:
        return load_builtin(self.name)


class FileData(ReadOptions):
    """A file or folder; a relative `path` is taken from the folder of the configuration.

    normal: the labels regarded as normal; None (the default) means all.
    """

    kind: Literal["file"] = "file"
    path: str = Field(min_length=1)
    normal: Labels | None = Field(default=None, min_length=1)

    def load(self, base_dir: Path, cells: Cells = "numbers") -> Table:
        options = ReadOptions(**{key: getattr(self, key) for key in ReadOptions.model_fields})
        if options.labels_path is not None:
            options = options.model_copy(update={"labels_path": str(base_dir / options.labels_path)})
        return read(base_dir / self.path, options, cells)


DataConfig = Annotated[BuiltinData | FileData | ToyData, Field(discriminator="kind")]


def load(
    config: BuiltinData | FileData | ToyData, base_dir: Path | str = ".", *, cells: Cells = "numbers"
) -> Table:
    """Load all rows, normal or not; `normal_mask(table, config.normal)` says which are normal.

    Args:
        cells: what the model takes, see `read`.

    Raises:
        BadInput: the data cannot be read, or a label in `config.normal` does not occur.
        BadConfig: an option that does not apply to the format.
    """
    table = config.load(Path(base_dir), cells)
    normal_mask(table, config.normal)  # a label that never occurs is a mistake best found before training
    return table
