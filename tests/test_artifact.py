"""A detector on disk: identical after loading, refused by name when it is not what was published."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ebm import artifact
from ebm.detector import Detector
from ebm.errors import BadArtifact


@pytest.fixture
def published(tiny: Detector, tmp_path: Path) -> Path:
    return artifact.publish(tiny, tmp_path / "models", "# a card\n")


def test_a_loaded_detector_answers_identically(tiny: Detector, published: Path, digits: np.ndarray) -> None:
    other = artifact.load(published)
    rows = digits[:50]
    a, b = tiny.score(rows, fpr=0.1), other.score(rows, fpr=0.1)
    for field in ("energy", "anomaly_score", "p_value", "is_anomaly", "rank"):
        np.testing.assert_array_equal(getattr(a, field), getattr(b, field))
    np.testing.assert_array_equal(tiny.denoise(rows), other.denoise(rows))
    np.testing.assert_array_equal(tiny.generate(3, seed=4).samples, other.generate(3, seed=4).samples)
    assert other.manifest.files.keys() == {"weights.safetensors", "calibration.safetensors", "card.md"}
    assert other.can == tiny.can == {"score", "explain", "impute", "denoise", "generate"}


@pytest.mark.parametrize("name", ["weights.safetensors", "calibration.safetensors", "card.md"])
@pytest.mark.parametrize("how", ["flipped", "cut", "gone"])
def test_a_tampered_file_is_named(published: Path, name: str, how: str) -> None:
    file = published / name
    data = bytearray(file.read_bytes())
    if how == "gone":
        file.unlink()
    else:
        data[len(data) // 2] ^= 1
        file.write_bytes(data if how == "flipped" else data[:-1])
    for call in (artifact.load, artifact.verify):
        with pytest.raises(BadArtifact, match=name.replace(".", r"\.")) as caught:
            call(published)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 2}, "format version 2; this library reads 1"),
        ({"surprise": 1}, "surprise: Extra inputs"),
        ({"terms": []}, "terms: "),
        ({"files": {}}, r"lists no checksum for weights\.safetensors"),
        ({"calibration": {"n": 1, "mean": 0, "sd": 0, "default_fpr": 0.1}}, r"calibration\.sd"),
    ],
)
def test_a_manifest_that_is_not_understood(published: Path, change: dict[str, object], message: str) -> None:
    file = published / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(BadArtifact, match=rf"manifest\.json: .*{message}|manifest\.json: {message}"):
        artifact.load(published)


@pytest.mark.parametrize("text", ["", "[]", "{", "\xff", "[" * 100_000])
def test_a_manifest_that_is_no_manifest(published: Path, text: str) -> None:
    (published / "manifest.json").write_text(text, encoding="latin-1")
    with pytest.raises(BadArtifact, match=r"manifest\.json"):
        artifact.load(published)


def test_weights_of_another_architecture_are_refused(published: Path) -> None:
    file = published / "manifest.json"
    values = json.loads(file.read_text())
    values["terms"][1]["energy"]["width"] = 24
    file.write_text(json.dumps(values))
    with pytest.raises(BadArtifact, match="weights do not fit the manifest"):
        artifact.load(published)


def test_a_version_never_changes_afterwards(tiny: Detector, published: Path, tmp_path: Path) -> None:
    before = {p.name: p.read_bytes() for p in published.iterdir()}
    with pytest.raises(BadArtifact, match="published already"):
        artifact.publish(tiny, tmp_path / "models", "another card")
    assert {p.name: p.read_bytes() for p in published.iterdir()} == before


def test_a_failed_publication_leaves_nothing(
    tiny: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(BadArtifact, match="No space left"):
        artifact.publish(tiny, tmp_path / "models", "")
    assert list((tmp_path / "models" / tiny.name).iterdir()) == []


def test_finding_versions(tmp_path: Path) -> None:
    for version in ("1", "2", "9", "10", "10.2", "10.10"):
        (tmp_path / "m" / version).mkdir(parents=True)
    (tmp_path / "m" / ".11.tmp").mkdir()
    (tmp_path / "n" / "1").mkdir(parents=True)
    found = artifact.list_models(tmp_path)
    assert [e.version for e in found if e.name == "m"] == ["1", "2", "9", "10", "10.2", "10.10"]
    assert artifact.resolve(tmp_path, "m").name == "10.10"
    assert artifact.resolve(tmp_path, "m", "9").name == "9"
    (tmp_path / "m" / "default").write_text("2\n")
    assert artifact.resolve(tmp_path, "m").name == "2"
    assert [e.version for e in artifact.list_models(tmp_path) if e.name == "m" and e.default] == ["2"]
    with pytest.raises(BadArtifact, match=r"no model 'x' .*\(there: m, n\)"):
        artifact.resolve(tmp_path, "x")
    with pytest.raises(BadArtifact, match=r"has no version '7' \(there: 1, 2, 9"):
        artifact.resolve(tmp_path, "m", "7")
    assert artifact.list_models(tmp_path / "nowhere") == []


MODELS = sorted(p.parent for p in (Path(__file__).parents[1] / "models").glob("*/*/manifest.json"))


@pytest.mark.parametrize("path", MODELS, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_the_shipped_models_load_and_are_small(path: Path) -> None:
    assert artifact.load(path).name == path.parent.name
    assert sum(f.stat().st_size for f in path.iterdir()) < 5 * 2**20
