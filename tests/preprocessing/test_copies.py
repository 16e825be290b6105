import numpy as np
import pyarrow as pa

from ebm.preprocessing.copies import count_copies, count_equal, sample_rows

RNG = np.random.default_rng(0)


def test_copies_in_any_unit_count_fully():
    x, y = RNG.normal(size=(2, 300))
    columns = np.c_[x, y, 1e6 + 3 * x, -x, np.full(300, 7.1)]
    np.testing.assert_allclose(count_copies(columns), [3, 1, 3, 3, 1])


def test_near_copies_count_in_part():
    x, noise = np.linalg.qr(RNG.normal(size=(100, 2)) - 0)[0].T
    x, noise = x - x.mean(), noise - noise.mean()
    noise -= x * (x @ noise) / (x @ x)
    unit = [v / np.linalg.norm(v) for v in (x, noise)]
    for r, m in ((0.989, 1.0), (0.995, 1.5), (0.999, 1.9)):
        pair = np.c_[unit[0], r * unit[0] + np.sqrt(1 - r**2) * unit[1]]
        np.testing.assert_allclose(count_copies(pair), [m, m], rtol=1e-5)


def test_two_rows_say_nothing_about_copies():
    np.testing.assert_array_equal(count_copies(np.array([[1.0, 2.0], [3.0, 5.0]])), [1, 1])


def test_rounding_is_no_variation():
    constants = np.full((300, 2), [0.1, 1.7])
    assert (constants.mean(axis=0) != constants[0]).all()  # else the test tests nothing
    assert count_copies(constants).tolist() == [1, 1]


def test_equal_partitions_are_copies_whatever_their_names():
    a = pa.array(["x", "y", None, "x", "z"])
    b = pa.array(["1", "2", "3", "1", None])
    c = pa.array([True, False, None, True, True])
    constant = pa.array(["k"] * 5)
    assert count_equal([a, b, c, constant, constant]).tolist() == [2, 2, 1, 1, 1]


def test_sampled_rows_are_spread_and_few():
    assert sample_rows(5).tolist() == [0, 1, 2, 3, 4]
    rows = sample_rows(1_000_000)
    assert len(rows) == 2000 and rows[0] == 0 and rows[-1] == 999_999 and (np.diff(rows) > 0).all()
