"""Reading data: files, folders and built-in sets to `Table`; splits of the normal rows."""

from ebm.data.arrays import parse_npy
from ebm.data.builtin import load_builtin
from ebm.data.config import BuiltinData, DataConfig, FileData, load
from ebm.data.options import Cells, ReadOptions
from ebm.data.picture import parse_image
from ebm.data.readers import read
from ebm.data.splits import Split, split_normal
from ebm.data.table import Table, Values, concat_rows, make_table, normal_mask, take_rows
from ebm.data.tabular import parse_csv
from ebm.data.toy import TOY_NAMES, ToyData, ToyName, draw_toy

__all__ = [
    "BuiltinData",
    "Cells",
    "DataConfig",
    "FileData",
    "ReadOptions",
    "Split",
    "TOY_NAMES",
    "Table",
    "ToyData",
    "ToyName",
    "Values",
    "concat_rows",
    "draw_toy",
    "load",
    "load_builtin",
    "make_table",
    "normal_mask",
    "parse_csv",
    "parse_image",
    "parse_npy",
    "read",
    "split_normal",
    "take_rows",
]
