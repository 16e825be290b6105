import numpy as np
import pytest

from ebm.errors import BadInput
from ebm.evaluation.baselines import baselines


def test_distances_on_a_line():
    train = np.arange(6, dtype=np.float32)[:, None]
    scores = baselines(train, np.array([[0.25], [9.0]], dtype=np.float32), seed=0)
    np.testing.assert_allclose(scores["knn1"], [0.25, 4])
    np.testing.assert_allclose(scores["knn5"], [3.75, 8])


def test_every_baseline_ranks_an_outlier_first():
    rng = np.random.default_rng(0)
    train, test = rng.normal(size=(200, 4)), rng.normal(size=(50, 4))
    test[17] = 9
    scores = baselines(train, test, seed=0)
    assert set(scores) == {"knn1", "knn5", "isolation_forest"}
    assert {name: int(s.argmax()) for name, s in scores.items()} == dict.fromkeys(scores, 17)


def test_images_are_flattened_and_the_seed_decides():
    rng = np.random.default_rng(0)
    train, test = rng.normal(size=(40, 1, 3, 3)), rng.normal(size=(10, 1, 3, 3))
    one, same, other = (baselines(train, test, seed=s)["isolation_forest"] for s in (1, 1, 2))
    assert one.shape == (10,)
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize(
    ("train", "test", "culprit"),
    [((4, 2), (3, 2), "at least 5"), ((9, 2), (0, 2), "empty"), ((9, 2), (3, 5), "have 2 values")],
)
def test_bad_input(train, test, culprit):
    with pytest.raises(BadInput, match=culprit):
        baselines(np.zeros(train), np.zeros(test), seed=0)
