from __future__ import annotations

import numpy as np
import pytest
from analytic_detectors import analytic_detector, gaussian, standardize
from batch_files import COLUMNS

from ebm.detector import Detector


@pytest.fixture(scope="session")
def known() -> Detector:
    """Three independent columns, calibrated on 400 rows."""
    rows = np.random.default_rng(1).normal(size=(400, 3)) * [1, 2, 0.5] + [0, 1, 2]
    return analytic_detector(
        gaussian([0, 0, 0], [1, 1, 1]), standardize([0, 1, 2], [1, 2, 0.5], COLUMNS), rows, name="known"
    )
