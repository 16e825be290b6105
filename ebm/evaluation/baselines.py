"""What an energy model must beat to earn its place: neighbour distances and an isolation forest."""

from __future__ import annotations

import numpy as np
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import NearestNeighbors

from ebm.errors import BadInput


def baselines(train: np.ndarray, test: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Anomaly scores of three standard detectors fitted on the normal training rows.

    `knn1` and `knn5` are the Euclidean distance to the 1st and to the 5th neighbour (PyOD's 'largest', not
    the mean of five; Ramaswamy et al., 2000). `isolation_forest` is minus scikit-learn's `score_samples`
    (Liu et al., 2008; 100 trees of 256 rows).

    Args:
        train: (n, ...) preprocessed normal rows; trailing axes are flattened.
        test: (m, ...) rows of the same shape, which must not contain the training rows.
        seed: of the forest, the only random part.

    Returns:
        name -> (m,) float64, higher = more anomalous.

    Raises:
        BadInput: fewer than 5 training rows, an empty test set, or unlike widths.
    """
    if len(train) < 5:
        raise BadInput(f"the baselines need at least 5 training rows, got {len(train)}")
    if len(test) == 0:
        raise BadInput("the test set is empty")
    a = np.asarray(train, dtype=np.float64).reshape(len(train), -1)
    b = np.asarray(test, dtype=np.float64).reshape(len(test), -1)
    if a.shape[1] != b.shape[1]:
        raise BadInput(f"training rows have {a.shape[1]} values, test rows {b.shape[1]}")
    distances = NearestNeighbors(n_neighbors=5).fit(a).kneighbors(b)[0]
    forest = IsolationForest(random_state=seed).fit(a)
    return {
        "knn1": distances[:, 0],
        "knn5": distances[:, 4],
        "isolation_forest": -forest.score_samples(b),
    }
