"""What `ebm` promises by name, and that naming it costs nothing until used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import ebm

NAMES = {
    "Detector",
    "EnergyDetector",
    "Generated",
    "Scores",
    "TrainConfig",
    "fit_detector",
    "list_models",
    "load",
    "publish",
    "resolve",
    "train",
    "verify",
}


def test_the_public_names_are_these() -> None:
    assert set(ebm.__all__) == NAMES
    for name in NAMES:
        assert getattr(ebm, name).__name__ == name


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = ebm.nothing  # type: ignore[attr-defined]


def test_importing_the_package_does_not_load_torch() -> None:
    code = "import sys, ebm, ebm.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
