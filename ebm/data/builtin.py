"""Small sets that ship with scikit-learn, or are made from one, so that a first run needs no file."""

from __future__ import annotations

from typing import Any, Literal

from ebm.data.masks import digit_masks
from ebm.data.table import Table, make_table

BuiltinName = Literal["digits", "breast_cancer", "digit_masks"]


def load_builtin(name: BuiltinName) -> Table:
    """digits: (1797, 8, 8), values 0 to 16, labels 0 to 9 (Alpaydin & Kaynak 1998).

    digit_masks: (1797, 8, 8, 2), a cluttered digit and its mask, see `ebm.data.masks`; labels as of digits.

    breast_cancer: (569, 30) with column names, labels "malignant" and "benign" (Wolberg et al. 1995).
    """
    from sklearn import datasets  # slow to import, and needed only here

    source = f"built-in {name}"
    bunch: Any  # scikit-learn types it as a tuple, too
    if name == "digits":
        bunch = datasets.load_digits()
        return make_table(bunch["images"], source, labels=bunch["target"])
    if name == "digit_masks":
        bunch = datasets.load_digits()
        return make_table(digit_masks(bunch["images"]), source, labels=bunch["target"])
    bunch = datasets.load_breast_cancer()
    columns = [str(column) for column in bunch["feature_names"]]
    return make_table(bunch["data"], source, columns=columns, labels=bunch["target_names"][bunch["target"]])
