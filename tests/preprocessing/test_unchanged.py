import numpy as np

from ebm.preprocessing import UnchangedConfig


def test_rows_stay_as_they_are_and_where_they_lie_is_known() -> None:
    x = np.random.default_rng(0).gamma(2, [1, 100], (50, 2)).astype(np.float32)
    fitted = UnchangedConfig().build().fit(x, ["a", "b"])
    np.testing.assert_array_equal(fitted.transform(x), x)
    np.testing.assert_array_equal(fitted.inverse(x), x)
    loaded = UnchangedConfig().build().load_arrays(fitted.arrays())
    for one in (fitted, loaded):
        np.testing.assert_allclose(one.centre, x.mean(0), rtol=1e-5)
        np.testing.assert_allclose(one.spread, x.std(0), rtol=1e-5)
        assert [column["mean"] for column in one.schema()["columns"]] == list(one.centre)
