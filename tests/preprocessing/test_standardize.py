import numpy as np
import pytest

from ebm.config import validate
from ebm.errors import BadArtifact, BadConfig, BadInput
from ebm.preprocessing import Standardize, StandardizeConfig


def test_zero_mean_unit_spread():
    x = np.random.default_rng(1).normal([3, -2e4], [0.5, 7e3], (500, 2))
    z = Standardize().fit(x).transform(x)
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(z.std(axis=0), 1, rtol=1e-5)


def test_known_values():
    fitted = Standardize().fit([[0.0, 10.0], [2.0, 30.0]])
    np.testing.assert_allclose(fitted.transform([[4.0, 20.0]]), [[3.0, 0.0]])
    np.testing.assert_allclose(fitted.inverse(np.array([[3.0, 0.0]])), [[4.0, 20.0]])


@pytest.mark.parametrize("constant", [0.0, 7.0, 0.1, 3e9, -1e20])
def test_a_constant_column_is_zero_and_a_departure_shows(constant):
    fitted = Standardize().fit(np.c_[np.full(30, constant), np.arange(30)])
    step = max(1.0, abs(constant))
    z = fitted.transform([[constant, 0], [constant + step, 0]])
    assert abs(z[0, 0]) < 1e-6 * step
    assert z[1, 0] == pytest.approx(step, rel=1e-5)


def test_names_come_back_and_label_errors():
    fitted = Standardize().fit([[1, 2], [3, 5]], ["größe", 'a"b'])
    again = Standardize().load_arrays(fitted.arrays())
    assert again.columns == ["größe", 'a"b']
    with pytest.raises(BadInput, match="row 1, column 'größe' is missing"):
        again.transform([[1.0, 2.0], [np.nan, 2.0]])


def test_schema_has_the_training_range():
    schema = Standardize().fit([[1, 2], [3, 5]], ["u", "v"]).schema()
    assert schema == {
        "kind": "tabular",
        "named": True,
        "columns": [
            {"name": "u", "min": 1.0, "max": 3.0, "mean": 2.0},
            {"name": "v", "min": 2.0, "max": 5.0, "mean": 3.5},
        ],
    }
    unnamed = Standardize().fit([[1, 2], [3, 5]]).schema()
    assert not unnamed["named"]
    assert [c["name"] for c in unnamed["columns"]] == ["x0", "x1"]


def test_names_must_match_the_width():
    with pytest.raises(BadInput, match="3 column names for 2 columns"):
        Standardize().fit([[1, 2], [3, 4]], ["a", "b", "c"])


def test_images_are_not_a_table():
    with pytest.raises(BadInput, match=r"\(rows, columns\)"):
        Standardize().fit(np.random.default_rng(0).normal(size=(5, 2, 2)))


def test_an_overflow_in_the_division_is_refused():
    fitted = Standardize().fit([[0.0], [1e-8]])
    with pytest.raises(BadInput, match="row 0, column 0 is too large"):
        fitted.transform([[1e35]])
    # Beyond float64, too: the quotient itself is infinite.
    with pytest.raises(BadInput, match="row 0, column 0 is too large"):
        fitted.transform([[1e303]])


@pytest.mark.parametrize("sd", [[0.0, 1.0], [-1.0, 1.0]])
def test_a_stored_sd_must_be_positive(sd):
    arrays = Standardize().fit([[1, 2], [3, 4]]).arrays()
    with pytest.raises(BadArtifact, match="'sd'"):
        Standardize().load_arrays({**arrays, "sd": np.array(sd)})


@pytest.mark.parametrize("names", [b"not json", b"[]", b"[1, 2]", b"\xff\xfe"])
def test_stored_names_must_be_names(names):
    arrays = Standardize().fit([[1, 2], [3, 4]], ["a", "b"]).arrays()
    with pytest.raises(BadArtifact, match="'columns'"):
        Standardize().load_arrays({**arrays, "columns": np.frombuffer(names, np.uint8)})


def test_unknown_key():
    with pytest.raises(BadConfig, match="train.yaml: scale"):
        validate(StandardizeConfig, {"kind": "standardize", "scale": 2}, "train.yaml")
