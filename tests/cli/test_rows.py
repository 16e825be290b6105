"""Files without names, or with nulls, for models of mixed tables."""

import numpy as np
import pyarrow as pa
import pytest

from ebm.cli.rows import read_rows
from ebm.errors import BadInput
from ebm.preprocessing import Mixed


def test_a_file_without_names_is_taken_by_position(tmp_path):
    (tmp_path / "rows.csv").write_text("5,6\n7,\n")
    model = Mixed().fit({"a": [1.0, None, 3.0], "b": [1, None, 4]})
    rows = read_rows(tmp_path / "rows.csv", model.columns, model.input_shape, model.schema())
    assert isinstance(rows.values, pa.Table)
    assert rows.values.to_pydict() == {"a": [5.0, 7.0], "b": [6.0, None]}
    assert rows.table is not None and rows.table.column_names == ["a", "b"]
    assert model.transform(rows.values).shape == (2, 4)


@pytest.mark.parametrize("suffix", ["csv", "npy"])
def test_nulls_for_a_model_of_an_array(tmp_path, suffix):
    path = tmp_path / f"rows.{suffix}"
    if suffix == "csv":
        path.write_text("x0,x1\n1,\n2,3\n")
    else:
        np.save(path, [[1, np.nan], [2, 3]])
    model = Mixed().fit([[1.0, None], [2.0, 3.0], [4.0, 5.0]])
    rows = read_rows(path, model.columns, model.input_shape, model.schema())
    np.testing.assert_array_equal(rows.values, [[1, np.nan], [2, 3]])
    np.testing.assert_array_equal(model.missing(rows.values), [[False, True], [False, False]])
    strict = Mixed().fit([[1.0, 2.0], [2.0, 3.0]])
    with pytest.raises(BadInput, match="row 0, column (1|'x1') is missing"):
        strict.transform(read_rows(path, strict.columns, strict.input_shape, strict.schema()).values)
