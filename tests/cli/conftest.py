"""Two small published models, trained once by the command itself, and a way to run commands."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from ebm.cli.app import app

NETWORK = """
terms:
  - name: network
    energy: {kind: residual, width: 16, depth: 1}
    objective: {kind: dsm, sigma_min: 0.1, sigma_max: 4.0}
    training: {n_steps: 20, log_every: 5, checkpoint_every: 5}
    sigmas: [0.3]
sampling:
  term: network
  sampler:
    {kind: annealed_langevin, sigma_min: 0.1, sigma_max: 4.0, n_levels: 3, step_size: 0.2, n_steps_per_level: 2}
"""
TABLE = """
name: {name}
data: {{kind: file, path: train.csv, label_column: kind, normal: [good]}}
split: {{train: 0.5, calibration: 0.25}}
preprocessing: {{kind: standardize}}
"""
IMAGES = """
name: pictures
data: {kind: builtin, name: digits}
split: {train: 0.5, calibration: 0.2}
preprocessing: {kind: image, low: 0, high: 16}
"""
ONLY_SCORES = """
terms:
  - name: kernel
    energy: {kind: kernel, bandwidth: 1.0}
"""
COLUMNS = ["a", "b, c", "d"]


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def error(self, code: int = 2) -> str:
        """The one line on stderr of a command that failed as it should."""
        assert self.code == code, (self.code, self.out, self.err)
        lines = self.err.strip().splitlines()
        assert len(lines) == 1 and lines[0].startswith("error: "), self.err
        return lines[0].removeprefix("error: ")


Ebm = Callable[..., Result]


def run_ebm(*args: object, ok: bool = False) -> Result:
    result = CliRunner().invoke(app, [str(a) for a in args])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    answer = Result(result.exit_code, result.stdout, result.stderr)
    assert not ok or answer.code == 0, answer.err
    return answer


@pytest.fixture(scope="session")
def command() -> Ebm:
    """Runs one command, for models of one's own."""
    return run_ebm


@pytest.fixture
def ebm(published: Path, monkeypatch: pytest.MonkeyPatch) -> Ebm:
    """Runs one command against the published models."""
    monkeypatch.setenv("EBM_MODELS", str(published))
    return run_ebm


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with configurations and their data: `table`, `plain` (kernel only) and `pictures`."""
    folder = tmp_path_factory.mktemp("workshop")
    rng = np.random.default_rng(0)
    lines = ['kind,a,"b, c",d']
    for kind, shift, count in (("good", 0, 120), ("odd", 6, 30)):
        lines += [",".join([kind, *map(str, row)]) for row in rng.normal(shift, 1, (count, 3)).round(4)]
    (folder / "train.csv").write_text("\n".join(lines) + "\n")
    (folder / "table.yaml").write_text(TABLE.format(name="table") + NETWORK)
    (folder / "plain.yaml").write_text(TABLE.format(name="plain") + ONLY_SCORES)
    (folder / "pictures.yaml").write_text(IMAGES + NETWORK)
    return folder


@pytest.fixture(scope="session")
def published(workshop: Path) -> Path:
    """The models folder after `ebm train` of all three."""
    for name in ("table", "plain", "pictures"):
        run_ebm(
            "train", workshop / f"{name}.yaml", "--models", workshop / "models", "--run-dir", workshop / "runs" / name,
            "--json", ok=True,
        )  # fmt: skip
    return workshop / "models"


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """rows.csv: an id and a remark that need quotes, and the model's columns in another order."""
    text = 'id,d,remark,"b, c",a\n1,0.10,"x, ""y""",0.2,0.3\n2,9,plain,9e0,9\n3,-0.5,,0,1\n'
    (tmp_path / "rows.csv").write_text(text)
    return tmp_path / "rows.csv"
