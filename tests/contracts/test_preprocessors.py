"""What every preprocessor obeys. A new one is one row in CASES."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from ebm.errors import BadArtifact, BadInput
from ebm.preprocessing import (
    BinarizeConfig,
    ImageConfig,
    MixedConfig,
    Preprocessor,
    PreprocessorConfig,
    StandardizeConfig,
    UnchangedConfig,
)


@dataclass
class Case:
    config: Any
    values: np.ndarray
    columns: list[str] | None = None
    learns_nulls: bool = False


RNG = np.random.default_rng(0)
CASES = {
    "standardize": Case(StandardizeConfig(), RNG.normal(5, [1, 100, 1e-3], (40, 3)), ["a", "b", "c"]),
    "standardize-unnamed": Case(StandardizeConfig(), RNG.normal(size=(40, 4)).astype(np.float32)),
    "standardize-integers": Case(StandardizeConfig(), RNG.integers(0, 9, (40, 2))),
    "standardize-one-constant": Case(StandardizeConfig(), np.c_[np.full(9, 3e9), np.arange(9)], ["k", "i"]),
    "mixed": Case(MixedConfig(), RNG.normal(5, [1, 100, 1e-3], (40, 3)), ["a", "b", "c"], learns_nulls=True),
    "mixed-unnamed": Case(MixedConfig(), RNG.normal(size=(40, 4)).astype(np.float32), learns_nulls=True),
    "mixed-integers": Case(MixedConfig(), RNG.integers(0, 9, (40, 2)), learns_nulls=True),
    "mixed-copies": Case(MixedConfig(), np.repeat(RNG.normal(size=(40, 1)), 3, axis=1), learns_nulls=True),
    "mixed-one-constant": Case(
        MixedConfig(), np.c_[np.full(9, 3e9), np.arange(9)], ["k", "i"], learns_nulls=True
    ),
    "none": Case(UnchangedConfig(), RNG.gamma(2, [1, 100, 1e-3], (40, 3)), ["a", "b", "c"]),
    "none-counts": Case(UnchangedConfig(), RNG.poisson(3, (40, 2))),
    "image-gray": Case(ImageConfig(low=0, high=16), RNG.uniform(0, 16, (20, 5, 4))),
    "image-colour": Case(ImageConfig(), RNG.integers(0, 256, (20, 5, 4, 3)).astype(np.uint8)),
    "binary-image": Case(BinarizeConfig(threshold=8, high=16), 16.0 * RNG.integers(0, 2, (20, 5, 4))),
    "binary-flat": Case(
        BinarizeConfig(threshold=2, low=-1, high=3, height=2, width=3, channels=2),
        4.0 * RNG.integers(0, 2, (20, 12)) - 1,
    ),
    "binary-table": Case(BinarizeConfig(input="tabular"), RNG.integers(0, 2, (40, 3)), ["a", "b", "c"]),
    "image-flat": Case(
        ImageConfig(low=-1, high=3, height=2, width=3, channels=2), RNG.uniform(-1, 3, (20, 12))
    ),
}


@pytest.fixture(params=CASES)
def case(request) -> Case:
    return CASES[request.param]


@pytest.fixture
def fitted(case):
    return case.config.build().fit(case.values, case.columns)


def as_users_see_it(case, fitted) -> np.ndarray:
    return np.asarray(case.values, dtype=np.float64).reshape(len(case.values), *fitted.input_shape)


def floats(case) -> np.ndarray:
    return np.array(case.values, dtype=np.float64)


def test_is_a_preprocessor(fitted):
    assert isinstance(fitted, Preprocessor)
    assert fitted.kind in ("tabular", "image")


def test_config_is_found_by_its_kind(case):
    stored = case.config.model_dump(mode="json")
    assert TypeAdapter(PreprocessorConfig).validate_python(stored) == case.config


def test_fit_returns_itself(case):
    built = case.config.build()
    assert built.fit(case.values, case.columns) is built


def test_transform_is_finite_float32_of_the_promised_shape(case, fitted):
    z = fitted.transform(case.values)
    assert z.dtype == np.float32
    assert z.shape == (len(case.values), *fitted.shape)
    assert z.flags.c_contiguous
    assert np.isfinite(z).all()
    assert z.std() > 0.1


def test_round_trip(case, fitted):
    x = as_users_see_it(case, fitted)
    back = fitted.inverse(fitted.transform(case.values))
    assert back.dtype == np.float32
    assert back.shape == x.shape
    assert (np.abs(back - x) <= 1e-6 * np.ptp(x, axis=0) + 1e-6 * np.abs(x)).all()


def test_every_coordinate_has_an_owner(fitted):
    owners = fitted.owners
    assert owners.dtype == np.int64 and owners.shape == (np.prod(fitted.shape),)
    # A colour image has several coordinates a pixel.
    assert set(owners.tolist()) == set(range(int(np.prod(fitted.input_shape[:2]))))


def test_order_of_values_is_kept(case, fitted):
    """z must grow with x, cell by cell: an odd reshape would still pass a round trip."""
    x = as_users_see_it(case, fitted)
    z = fitted.inverse(fitted.transform(case.values) + 0.1)
    inside = z < (fitted.schema().get("high", np.inf))
    assert (z[inside] > x[inside] - 1e-6).all()


def test_rows_do_not_depend_on_their_batch(case, fitted):
    whole = fitted.transform(case.values)
    alone = np.concatenate([fitted.transform(case.values[i : i + 1]) for i in range(len(whole))])
    np.testing.assert_array_equal(whole, alone)


def test_lists_are_as_good_as_arrays(case, fitted):
    np.testing.assert_array_equal(fitted.transform(case.values.tolist()), fitted.transform(case.values))


def test_input_is_left_alone(case, fitted):
    before = case.values.copy()
    fitted.transform(case.values)
    np.testing.assert_array_equal(case.values, before)


def test_saved_arrays_give_an_identical_transform(case, fitted):
    arrays = fitted.arrays()
    assert all(isinstance(a, np.ndarray) and a.dtype.kind in "iuf" and a.size for a in arrays.values())
    again = case.config.build().load_arrays(arrays)
    np.testing.assert_array_equal(again.transform(case.values), fitted.transform(case.values))
    z = fitted.transform(case.values)
    np.testing.assert_array_equal(again.inverse(z), fitted.inverse(z))
    assert again.shape == fitted.shape
    assert again.input_shape == fitted.input_shape
    assert again.columns == fitted.columns == case.columns
    assert again.schema() == fitted.schema()


def test_saved_arrays_are_copies_or_fresh(case, fitted):
    before = fitted.transform(case.values)
    for array in fitted.arrays().values():
        array[...] = 1
    np.testing.assert_array_equal(fitted.transform(case.values), before)


def test_damaged_arrays_are_refused(case, fitted):
    arrays = fitted.arrays()
    for key in arrays.keys() - {"columns"}:
        with pytest.raises(BadArtifact, match=f"'{key}'"):
            case.config.build().load_arrays({k: a for k, a in arrays.items() if k != key})
        with pytest.raises(BadArtifact, match=f"'{key}'|expected"):
            case.config.build().load_arrays({**arrays, key: arrays[key] * np.nan})
        longer = np.concatenate([arrays[key], arrays[key]])
        with pytest.raises(BadArtifact, match="expected"):
            case.config.build().load_arrays({**arrays, key: longer})


def test_schema_is_json(fitted):
    schema = fitted.schema()
    assert schema["kind"] == fitted.kind
    assert json.loads(json.dumps(schema, allow_nan=False)) == schema


@pytest.mark.parametrize("bad, word", [(np.nan, "missing"), (np.inf, "infinite"), (-np.inf, "infinite")])
@pytest.mark.parametrize("method", ["transform", "fit"])
def test_not_finite_names_row_and_column(case, fitted, bad, word, method):
    values = floats(case)
    flat = values.reshape(len(values), -1)
    flat[7, 1] = bad
    flat[8, 0] = bad
    if case.learns_nulls and method == "fit" and np.isnan(bad):
        learnt = case.config.build().fit(values, case.columns)
        assert np.isfinite(learnt.transform(values)).all()
        return
    with pytest.raises(BadInput, match=rf"^row 7, .*{word}") as caught:
        getattr(case.config.build() if method == "fit" else fitted, method)(values, *_names(method, case))
    assert caught.value.row == 7
    assert caught.value.column == (case.columns[1] if case.columns else 1)
    assert "\n" not in str(caught.value)


def _names(method, case):
    return (case.columns,) if method == "fit" else ()


@pytest.mark.parametrize(
    "bad, word", [("abc", "'abc' is not a number"), (None, "is missing"), ({}, "not a number")]
)
def test_not_a_number_names_row(case, fitted, bad, word):
    rows = case.values.tolist()
    cell = rows[3]
    while isinstance(cell[1], list):
        cell = cell[1]
    cell[1] = bad
    with pytest.raises(BadInput, match=rf"row 3, .*{word}") as caught:
        fitted.transform(rows)
    assert caught.value.row == 3


def test_wrong_width_is_refused(case, fitted):
    flat = floats(case).reshape(len(case.values), -1)
    for values in (flat[:, :-1], np.c_[flat, flat[:, :1]], flat[:, :, None, None, None]):
        with pytest.raises(BadInput, match="row 0 has .*the model takes") as caught:
            fitted.transform(values)
        assert caught.value.row == 0


def test_ragged_rows_name_the_row(case, fitted):
    rows = case.values.reshape(len(case.values), -1).tolist()
    rows[4] = rows[4][:-1]
    with pytest.raises(BadInput, match="row 4 has .* values, row 0 has") as caught:
        fitted.transform(rows)
    assert caught.value.row == 4


@pytest.mark.parametrize("nothing", [[], np.empty((0, 3)), 5, "text", None, {"a": 1}, [[]], [1, [2]]])
def test_nothing_to_transform(fitted, nothing):
    with pytest.raises(BadInput):
        fitted.transform(nothing)


def test_deep_nesting_is_an_error_and_no_crash(fitted):
    deep: Any = 1.0
    for _ in range(500):
        deep = [deep]
    with pytest.raises(BadInput, match="nested too deeply"):
        fitted.transform([deep, "x"])


def test_one_row_is_not_enough(case):
    with pytest.raises(BadInput, match="at least 2"):
        case.config.build().fit(case.values[:1], case.columns)


def test_constant_data_are_refused(case):
    with pytest.raises(BadInput, match="nothing to learn"):
        case.config.build().fit(np.repeat(case.values[:1] * 0 + 1, 5, axis=0), case.columns)


def test_a_value_beyond_float32_is_refused(case, fitted):
    values = floats(case)
    values.reshape(len(values), -1)[2, 0] = 1e300
    with pytest.raises(BadInput, match="row 2, .*too large"):
        fitted.transform(values)


def test_unfitted_is_a_bug_of_the_caller(case):
    with pytest.raises(RuntimeError, match="comes first"):
        case.config.build().transform(case.values)
