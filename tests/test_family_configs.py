"""Every configuration of the family is one that trains, scores, survives storage and generates; and no kind of part is
without a configuration that uses it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from pydantic import BaseModel

from ebm import artifact, data
from ebm.card import model_card
from ebm.config import read_yaml, validate
from ebm.data import take_rows
from ebm.energies import EnergyConfig
from ebm.fitting import fit_detector
from ebm.objectives import ObjectiveConfig
from ebm.preprocessing import PreprocessorConfig
from ebm.runs import prepare
from ebm.samplers import SamplerConfig
from ebm.training.config import TrainConfig

CONFIGS = Path(__file__).parents[1] / "configs"
FAMILY = sorted((CONFIGS / "family").glob("*.yaml"))
PARTS = {
    "energy": EnergyConfig,
    "objective": ObjectiveConfig,
    "sampler": SamplerConfig,
    "preprocessor": PreprocessorConfig,
}
# Kinds that no configuration in the repository uses, each with the reason.
EXCEPTIONS: dict[str, str] = {}
# Numbers by which a configuration says how long something takes, and what is enough to see that it runs.
SMALL = {
    "n_steps": 3,
    "k_steps": 2,
    "batch_size": 16,
    "group": 4,
    "buffer_size": 32,
    "n_steps_per_level": 1,
    "n_levels": 3,
    "n_warmup": 20,
    "log_every": 1,
    "folds": 2,
}
ROWS, HELD_OUT = 96, 24


def kinds(config: Any) -> Iterator[BaseModel]:
    """The configuration and all that it holds."""
    if isinstance(config, BaseModel):
        yield config
        for name in type(config).model_fields:
            yield from kinds(getattr(config, name))
    elif isinstance(config, tuple | list):
        for part in config:
            yield from kinds(part)


def members(union: Any) -> tuple[type[BaseModel], ...]:
    """Of Annotated[A | B, ...]; and of Annotated[A, ...], a union of one."""
    inside = get_args(union)[0]
    return get_args(inside) or (inside,)


def reduced(values: Any) -> Any:
    """The same configuration with every number of `SMALL` at most that."""
    if isinstance(values, dict):
        return {
            k: min(v, SMALL[k]) if k in SMALL and isinstance(v, int) else reduced(v)
            for k, v in values.items()
        }
    return [reduced(v) for v in values] if isinstance(values, list | tuple) else values


@lru_cache
def whole(path: Path) -> TrainConfig:
    return read_yaml(TrainConfig, path)


@pytest.fixture(autouse=True)
def each_set_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "load", _load)


_read = data.load


@lru_cache
def _load(config: Any, base_dir: Any = ".", *, cells: Any = "numbers") -> Any:
    return _read(config, base_dir, cells=cells)


@pytest.mark.parametrize("path", FAMILY, ids=lambda path: path.stem)
def test_a_configuration_makes_a_model(path: Path, tmp_path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith("# "), "a line of comment on top says what it is"
    full = whole(path)
    assert full.data.kind != "file", "it must train from what is in the repository"
    config = validate(TrainConfig, reduced(full.model_dump(mode="json")), str(path))
    rows = prepare(config)
    train = take_rows(rows.train, np.arange(min(ROWS, len(rows.train))))
    held_out = take_rows(rows.calibration, np.arange(min(HELD_OUT, len(rows.calibration))))
    labels = None if rows.labels is None else rows.labels[: len(train)]
    detector = fit_detector(config, train, held_out, columns=rows.table.columns, labels=labels)
    shown = take_rows(rows.test if len(rows.test) else rows.train, np.arange(8))
    scores = detector.score(shown)
    assert np.isfinite(scores.energy).all() and ((scores.p_value > 0) & (scores.p_value <= 1)).all()
    loaded = artifact.load(artifact.publish(detector, tmp_path, model_card(detector.manifest)))
    np.testing.assert_array_equal(loaded.score(shown).energy, scores.energy)
    if config.sampling is None:
        assert "generate" not in detector.can
    else:
        samples = loaded.generate(2, seed=1).samples
        assert samples.shape[0] == 2 and np.isfinite(np.asarray(samples, float)).all()
        np.testing.assert_array_equal(samples, detector.generate(2, seed=1).samples)


def test_no_kind_is_without_a_configuration() -> None:
    paths = sorted(CONFIGS.rglob("*.yaml"))
    used = {type(part) for path in paths for part in kinds(whole(path))}
    there = {
        f"{part} {member.model_fields['kind'].default}": member
        for part, union in PARTS.items()
        for member in members(union)
    }
    assert len(there) > 20
    missing = {name for name, member in there.items() if member not in used}
    assert missing == EXCEPTIONS.keys()


def test_names_are_told_apart() -> None:
    names = [whole(path).name for path in sorted(CONFIGS.rglob("*.yaml"))]
    assert len(names) == len(set(names)), "two configurations would publish under one name"
