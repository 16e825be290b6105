"""What a run writes as it goes: one line a step, the same after a resume, and TensorBoard where it is installed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from ebm.errors import Unsupported
from ebm.run_log import RunLog


def steps(folder: Path) -> list[tuple[str, int, float]]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [(line["term"], line["step"], line["loss"]) for line in lines]


def test_a_resumed_run_logs_each_step_once(tmp_path: Path) -> None:
    log = RunLog(tmp_path, resume=False, tensorboard=False)
    for step in (10, 20, 30):
        log.write("a", step, {"loss": float(step)})
    log.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"term": "a", "st')  # cut by a kill
    log = RunLog(tmp_path, resume=True, tensorboard=False)
    log.write("a", 20, {"loss": 2.5})  # the last checkpoint was before step 20
    log.write("a", 30, {"loss": 3.5})
    log.write("b", 10, {"loss": 1.0})
    log.close()
    assert steps(tmp_path) == [("a", 10, 10.0), ("a", 20, 2.5), ("a", 30, 3.5), ("b", 10, 1.0)]


def test_a_look_comes_after_its_step_and_again_with_it(tmp_path: Path) -> None:
    log = RunLog(tmp_path, resume=False, tensorboard=False)
    for step in (10, 20):
        log.write("a", step, {"loss": 1.0})
        log.write("a", step, {"noise/data": float(step)})
    log.write("a", 20, {"loss": 2.0})  # once more, and what was seen after it is gone
    log.write("b", 20, {"noise/data": 7.0})
    log.write("a", 20, {"noise/data": 3.0})
    log.close()
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    found = [(line["term"], line["step"], line.get("loss", line.get("noise/data"))) for line in lines]
    assert found == [("a", 10, 1.0), ("a", 10, 10.0), ("a", 20, 2.0), ("b", 20, 7.0), ("a", 20, 3.0)]


def test_tensorboard_events_are_written(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the extra 'tensorboard' is not installed")
    log = RunLog(tmp_path, resume=False, tensorboard=True)
    log.write("a", 10, {"loss": 1.0})
    log.close()
    assert any((tmp_path / "tensorboard").glob("events.out.tfevents.*"))


def test_without_tensorboard_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(Unsupported, match=r"pip install 'ebm-service\[tensorboard\]'"):
        RunLog(tmp_path, resume=False, tensorboard=True)
