from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest


@pytest.fixture
def copy(published: Path, tmp_path: Path) -> Path:
    """Its own copy of the models, to be damaged."""
    return Path(shutil.copytree(published, tmp_path / "models"))


def test_list(ebm, published):
    answer = ebm("models", "list", "--json", ok=True).json["models"]
    assert [(m["name"], m["version"], m["default"], m["kind"]) for m in answer] == [
        ("pictures", "1", True, "image"),
        ("plain", "1", True, "tabular"),
        ("table", "1", True, "tabular"),
    ]
    assert answer[2]["path"] == str(published / "table" / "1")
    out = ebm("models", "list", ok=True).out
    assert "pictures" in out and "1 *" in out


def test_a_broken_model_is_listed_as_such(ebm, copy):
    (copy / "plain" / "1" / "manifest.json").write_text("{")
    models = {m["name"]: m for m in ebm("models", "list", "--models", copy, "--json", ok=True).json["models"]}
    assert "manifest.json" in models["plain"]["error"] and "error" not in models["table"]
    assert "broken" in ebm("models", "list", "--models", copy, ok=True).out


def test_show(ebm, published):
    manifest = json.loads((published / "table" / "1" / "manifest.json").read_text())
    for model in ("table", "table/1", published / "table" / "1"):
        assert ebm("models", "show", model, "--json", ok=True).json == {**manifest, "denoises_by": "energy"}
    assert ebm("models", "show", "plain", "--json", ok=True).json["denoises_by"] is None
    out = ebm("models", "show", "table", ok=True).out
    assert "3 columns" in out and "30 rows" in out and "isolation_forest" in out
    out = ebm("models", "show", "pictures", ok=True).out
    assert "8 x 8 x 1" in out and "the gradient of its energy" in out


def test_verify(ebm, copy):
    assert "table/1: ok" in ebm("models", "verify", "--models", copy, ok=True).out.replace("\n", " ")
    weights = copy / "table" / "1" / "weights.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert "weights.safetensors: altered" in ebm("models", "verify", "--models", copy).error()
    assert "weights.safetensors: altered" in ebm("models", "verify", "table", "--models", copy).error()
    ebm("models", "verify", "plain", "--models", copy, ok=True)
    answer = ebm("models", "verify", "--models", copy, "--json")
    assert answer.code == 2 and [m["ok"] for m in answer.json["models"]] == [True, True, False]


def test_a_tampered_model_does_not_score(ebm, copy, rows):
    (copy / "table" / "1" / "calibration.safetensors").write_bytes(b"")
    assert "calibration.safetensors" in ebm("score", "table", rows, "--models", copy).error()


def test_folders_without_models(ebm, tmp_path):
    assert "no such folder" in ebm("models", "list", "--models", tmp_path / "none").error()
    assert ebm("models", "list", "--models", tmp_path, "--json", ok=True).json == {"models": []}
    assert "no models" in ebm("models", "verify", "--models", tmp_path).error()
    assert "there: none" in ebm("models", "show", "table", "--models", tmp_path).error()
