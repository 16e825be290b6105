"""Models of rows of zeros and ones: every call answers, or says why not; nothing ends in a traceback."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from in_process import Client, running

from ebm import artifact
from ebm.compose import Composition
from ebm.config import validate
from ebm.detector import Detector
from ebm.errors import BadConfig, Unsupported
from ebm.fitting import fit_detector
from ebm.training.config import ModelConfig
from service.settings import Settings

GIBBS = {"kind": "gibbs"}
CD = {"kind": "cd", "k_steps": 1, "sampler": GIBBS}
PCD = {"kind": "persistent_cd", "k_steps": 1, "sampler": GIBBS, "buffer_size": 32, "l2": 0}
BINARY = {"fresh": "binary", "data_noise": 0}
MODELS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "machine": ({"kind": "rbm", "n_hidden": 8}, {**PCD, **BINARY}),
    "coupled": ({"kind": "boltzmann", "n_hidden": 2}, CD),
    "deep": ({"kind": "dbn", "hidden": [6, 4]}, {"kind": "greedy", "layer": 2}),
    "answers": ({"kind": "rbm", "n_hidden": 4}, CD),
}


def settings(name: str) -> dict[str, Any]:
    energy, objective = MODELS[name]
    table = {"input": "tabular", "threshold": 3, "low": 1, "high": 5}
    picture = {"threshold": 8, "high": 16}
    return {
        "name": name,
        "accelerator": "cpu",
        "preprocessing": {"kind": "binarize", **(table if name == "answers" else picture)},
        "terms": [
            {
                "name": "t",
                "energy": energy,
                "objective": objective,
                "training": {"n_steps": 30, "batch_size": 16, "learning_rate": 0.05, "ema": 0.9},
            }
        ],
        "sampling": {"term": "t", "sampler": GIBBS, "n_steps": 5},
    }


def rows_of(name: str, n: int, seed: int = 0) -> np.ndarray:
    """Pictures (n, 5, 4) of one of two bars, or answers (n, 6) of 1 to 5; a tenth of the cells is flipped."""
    rng = np.random.default_rng(seed)
    if name == "answers":
        agreed = rng.integers(0, 2, (n, 1)) ^ (rng.random((n, 6)) < 0.1)
        return 1.0 + 4 * agreed
    pictures = np.zeros((n, 5, 4))
    pictures[np.arange(n), :, rng.choice([0, 2], n)] = 16
    return np.where(rng.random(pictures.shape) < 0.1, 16 - pictures, pictures)


def fitted(name: str) -> Detector:
    config = validate(ModelConfig, settings(name), name)
    columns = [f"q{i}" for i in range(6)] if name == "answers" else None
    return fit_detector(config, rows_of(name, 80), rows_of(name, 40, seed=1), columns=columns)


@pytest.fixture(scope="module")
def detectors() -> dict[str, Detector]:
    return {name: fitted(name) for name in MODELS}


@pytest.fixture(scope="module")
def client(detectors: dict[str, Detector], tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder: Path = tmp_path_factory.mktemp("binary")
    for detector in detectors.values():
        artifact.publish(detector, folder, "# binary")
    with running(Settings(models_dir=folder)) as client:
        yield client


@pytest.mark.parametrize("name", MODELS)
def test_what_a_model_of_binary_rows_answers(name: str, client: Client, detectors: Any) -> None:
    detector, url = detectors[name], f"/v1/models/{name}"
    low, high = (1, 5) if name == "answers" else (0, 16)
    x = rows_of(name, 3, seed=2).tolist()
    answer = client.post(f"{url}/score", json={"instances": x})
    assert answer.status_code == 200
    np.testing.assert_allclose(answer.json()["energy"], detector.energies(np.array(x)), rtol=1e-5)

    drawn = client.post(f"{url}/generate", json={"n": 5, "seed": 1})
    assert drawn.status_code == 200
    samples = np.array(drawn.json()["samples"])
    assert samples.shape == (5, *detector.input_shape) and set(np.unique(samples)) <= {low, high}

    explained = client.post(f"{url}/explain", json={"instances": x})
    assert explained.status_code == 200
    for row in explained.json()["rows"]:
        assert set(np.unique(row["normal_version"])) <= {low, high}
        assert row["normal_energy"] <= row["energy"] + 1e-4
        if name == "answers":
            total = sum(one["contribution"] for one in row["contributions"])
            assert total == pytest.approx(row["energy"] - row["normal_energy"], abs=0.02)

    compared = client.post(f"{url}/compare", json={"a": x, "b": x[::-1]})
    assert compared.status_code == 200


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("call, body", [("denoise", {}), ("impute", {}), ("classify", {})])
def test_what_it_cannot_do_it_says(name: str, call: str, body: dict[str, Any], client: Client) -> None:
    answer = client.post(f"/v1/models/{name}/{call}", json={"instances": rows_of(name, 2).tolist(), **body})
    assert answer.status_code in (409, 422) and "cannot" in answer.json()["detail"]


def test_a_step_size_is_refused(client: Client) -> None:
    answer = client.post("/v1/models/machine/generate", json={"n": 1, "step_size": 0.1})
    assert answer.status_code == 422 and "step_size" in answer.json()["detail"]


def test_chains_begin_at_rows_of_zeros_and_ones(detectors: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    machine, seen = detectors["machine"].energy.terms["t"], []
    sweep = machine.gibbs

    def looked_at(x: Any, generator: Any) -> Any:
        seen.append(x)
        return sweep(x, generator)

    monkeypatch.setattr(machine, "gibbs", looked_at)
    detectors["machine"].generate(50)
    assert set(seen[0].unique().tolist()) == {0.0, 1.0}


def test_maps_of_pixels(detectors: Any) -> None:
    odd = np.zeros((1, 5, 4))
    odd[0, :, 0] = 16
    odd[0, 2, 3] = 16  # no picture has this one lit
    for method in ("local", "residual", "gradient"):
        found = detectors["machine"].pixel_maps(odd, method=method)
        assert found.shape == (1, 5, 4) and np.isfinite(found).all()
    assert detectors["machine"].pixel_maps(odd, method="local")[0].argmax() == 2 * 4 + 3


def test_a_mixture_of_such_models_is_drawn_and_a_product_refused(detectors: Any) -> None:
    both = [detectors["machine"], detectors["deep"]]
    assert Composition(both, mode="either").generate(4).samples.shape == (4, 5, 4)
    with pytest.raises(Unsupported, match="zeros and ones.*a mixture can"):
        Composition(both).generate(4)
    assert np.isfinite(Composition(both).score(rows_of("machine", 3)).energy).all()


@pytest.mark.parametrize(
    "key, value, said",
    [
        ("objective", {**PCD, "data_noise": 0}, "set 'fresh' to binary"),
        ("objective", {**PCD, "fresh": "binary"}, "set 'data_noise' to 0"),
        ("objective", {"kind": "cd"}, "sampler kind 'gibbs'"),
        ("objective", {"kind": "dsm"}, "sampler kind 'gibbs'"),
        ("objective", {"kind": "greedy"}, "trains layers one by one"),
        ("energy", {"kind": "mlp"}, "samples hidden units"),
        ("energy", {"kind": "dbn"}, "trained layer by layer"),
        ("energy", {"kind": "rbm", "visible": "gaussian"}, "'fresh: binary' is for binary rows"),
        ("energy", {"kind": "boltzmann", "n_hidden": 13}, "less than or equal to 12"),
    ],
)
def test_what_does_not_fit_is_said_when_the_configuration_is_read(key: str, value: Any, said: str) -> None:
    values = settings("machine")
    values["terms"][0][key] = value
    with pytest.raises(BadConfig, match=said):
        validate(ModelConfig, values, "config")


def test_binary_energies_want_binary_rows_and_layers_that_exist() -> None:
    with pytest.raises(BadConfig, match="needs preprocessing kind 'binarize'"):
        validate(ModelConfig, settings("machine") | {"preprocessing": {"kind": "standardize"}}, "config")
    values = settings("deep")
    values["terms"][0]["objective"]["layer"] = 3
    with pytest.raises(BadConfig, match="'layer' 3: the energy has 2 layers"):
        validate(ModelConfig, values, "config")
