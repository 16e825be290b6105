"""Both clients against a real server with the shipped models."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from live_server import live_server
from PIL import Image
from sklearn.datasets import load_breast_cancer

from ebm import load, resolve
from ebm.client import (
    AsyncClient,
    BadRequest,
    Client,
    LimitExceeded,
    NoAnswer,
    NotFound,
    Retries,
    Unauthorized,
)
from ebm.detector import Detector
from service.api_keys import digest
from service.settings import Settings

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "examples" / "noisy_digit.png"
MAX_ROWS = 100
KEY = {"name": "test", "sha256": digest("a secret"), "scopes": ["score", "generate", "admin"]}


def opened(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        return picture.copy()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    settings = Settings(
        models_dir=ROOT / "models", log_level="error", max_rows=MAX_ROWS, max_denoise_rows=8, api_keys=[KEY]
    )
    with live_server(settings) as url:
        yield url


@pytest.fixture(params=["sync", "async"])
def ask(address: str, request: pytest.FixtureRequest) -> Any:
    """Runs one method of either client."""

    def call(method: str, *args: Any, **options: Any) -> Any:
        if request.param == "sync":
            with Client(address, api_key="a secret") as client:
                found = getattr(client, method)(*args, **options)
                return list(found) if method == "generate_stream" else found

        async def run() -> Any:
            async with AsyncClient(address, api_key="a secret") as client:
                if method == "generate_stream":
                    return [event async for event in client.generate_stream(*args, **options)]
                return await getattr(client, method)(*args, **options)

        return asyncio.run(run())

    return call


@pytest.fixture(scope="module")
def detector() -> Detector:
    return load(resolve(ROOT / "models", "breast-cancer"))


@pytest.fixture(scope="module")
def frame(detector: Detector) -> pd.DataFrame:
    """More rows than the server takes at once."""
    frame = pd.DataFrame(load_breast_cancer().data[:250], columns=detector.columns)
    assert len(frame) > 2 * MAX_ROWS
    return frame


@pytest.mark.parametrize("kind", ["pandas", "polars", "Arrow", "numpy", "lists", "records"])
def test_a_frame_is_scored_as_the_library_scores_it(
    ask: Any, detector: Detector, frame: pd.DataFrame, kind: str
) -> None:
    rows: Any = {
        "pandas": lambda: frame,
        "polars": lambda: pl.from_pandas(frame),
        "Arrow": lambda: pa.Table.from_pandas(frame, preserve_index=False),
        "numpy": frame.to_numpy,
        "lists": lambda: frame.to_numpy().tolist(),
        "records": lambda: frame.to_dict("records"),
    }[kind]()
    scores = ask("score", "breast-cancer", rows, fdr=0.1)
    expected = detector.score(frame.to_numpy(), fdr=0.1)
    assert 0 < expected.is_anomaly.sum() < len(frame)
    np.testing.assert_allclose(scores.energy, expected.energy, rtol=1e-6)
    np.testing.assert_allclose(scores.p_value, expected.p_value)
    np.testing.assert_array_equal(scores.is_anomaly, expected.is_anomaly)
    np.testing.assert_array_equal(scores.rank, expected.rank)
    assert scores.note == expected.note


def test_bad_rows_are_null_and_named_on_request(ask: Any, frame: pd.DataFrame) -> None:
    broken = frame.copy()
    broken.iloc[170, 3] = np.nan
    with pytest.raises(BadRequest) as caught:
        ask("score", "breast-cancer", broken)
    assert caught.value.row == 170 and "row 170" in str(caught.value)
    scores = ask("score", "breast-cancer", broken, on_error="null")
    assert list(scores.errors) == [170] and np.isnan(scores.energy[170]) and scores.rank[170] == 0
    others = np.delete(scores.rank, 170)
    assert sorted(others)[0] == 1 and others.max() <= len(frame) - 1


@pytest.mark.parametrize("kind", ["path", "bytes", "PIL"])
def test_a_picture_is_denoised_to_a_picture(ask: Any, kind: str) -> None:
    picture: Any = {"path": PICTURE, "bytes": PICTURE.read_bytes(), "PIL": opened(PICTURE)}[kind]
    found = ask("denoise", "digits", picture)
    assert isinstance(found, Image.Image if kind == "PIL" else bytes)
    with Image.open(ROOT / "examples" / "digit.png") as clean, Image.open(PICTURE) as noisy:
        denoised = found if kind == "PIL" else Image.open(io.BytesIO(found))
        errors = [np.square(np.asarray(one, float) - np.asarray(clean)).mean() for one in (denoised, noisy)]
    assert errors[0] < 0.6 * errors[1]


def test_pictures_and_arrays_are_denoised_in_their_own_form(ask: Any) -> None:
    many = ask("denoise", "digits", [PICTURE, PICTURE])
    assert len(many) == 2 and many[0] == many[1] == ask("denoise", "digits", PICTURE)
    array = np.random.default_rng(0).uniform(0, 16, (40, 8, 8))
    clean = ask("denoise", "digits", array, sigma=0.3)
    assert isinstance(clean, np.ndarray) and clean.shape == array.shape
    np.testing.assert_allclose(
        ask("denoise", "digits", array.tolist(), sigma=0.3), clean, rtol=1e-4, atol=1e-3
    )


def test_pictures_are_scored(ask: Any) -> None:
    clean = ROOT / "examples" / "digit.png"
    one = ask("score", "digits", clean)
    both = ask("score", "digits", [clean, opened(PICTURE)])
    assert len(one) == 1 and len(both) == 2
    np.testing.assert_allclose(both.energy[0], one.energy[0], rtol=1e-5)
    assert both.anomaly_score[1] > both.anomaly_score[0] and both.rank.tolist() == [2, 1]


def test_what_is_served_says_what_it_is(ask: Any) -> None:
    found = ask("models")
    assert {"breast-cancer", "digits"} <= {one.name for one in found.models} and found.refused == []
    digits = ask("model", "digits")
    assert digits.input_shape == [8, 8] and digits.manifest["name"] == "digits"
    assert ask("model", "digits", digits.version).version == digits.version
    assert ask("limits").max_rows == MAX_ROWS
    assert ask("ready").status == "ready"
    assert ask("reload").added == []


def test_samples_come_with_their_way(ask: Any) -> None:
    made = ask("generate", "digits", 3, seed=1)
    assert made.samples.shape == (3, 8, 8) and made.snapshots is None and made.model == "digits"
    again = ask("generate", "digits", 3, seed=1, keep_every=50)
    np.testing.assert_array_equal(again.samples, made.samples)
    assert len(again.snapshots) > 0 and again.snapshots.shape[1:] == made.samples.shape


def test_a_generation_is_followed(ask: Any) -> None:
    events = ask("generate_stream", "digits", 2, seed=1, keep_every=50)
    assert {event.name for event in events[:-1]} == {"progress", "snapshot"}
    steps = [event.data["step"] for event in events if event.name == "progress"]
    assert steps == sorted(steps) and steps[-1] <= events[0].data["n_total"]
    assert events[-1].name == "done"
    samples = ask("generate", "digits", 2, seed=1).samples
    np.testing.assert_allclose(events[-1].data["samples"], samples, rtol=1e-5, atol=1e-4)


def test_a_generation_that_is_refused_is_refused_before_its_events(ask: Any) -> None:
    with pytest.raises(LimitExceeded):
        ask("generate_stream", "digits", 10**6)


def test_rows_are_explained_as_the_library_explains_them(
    ask: Any, detector: Detector, frame: pd.DataFrame
) -> None:
    found = ask("explain", "breast-cancer", frame[:2], top=3)
    expected = detector.explain(frame[:2].to_numpy())
    assert len(found.rows) == 2 and len(found.rows[0].contributions) == 3
    np.testing.assert_allclose([row.energy for row in found.rows], expected.energy, rtol=1e-5)
    assert found.rows[0].contributions[0].column == expected.name(expected.ranking[0, 0])
    heat = np.array(ask("explain", "digits", PICTURE).rows[0].heat_map)
    assert heat.shape == (8, 8) and heat.std() > 0


def test_gaps_are_filled_in_the_form_that_has_them(ask: Any, frame: pd.DataFrame) -> None:
    gappy = frame[:40].copy()
    gappy.iloc[35, 2] = np.nan
    whole = ask("impute", "breast-cancer", gappy, seed=3)
    assert isinstance(whole, pd.DataFrame) and not whole.isna().any().any()
    assert 40 < whole.iloc[35, 2] < 250  # the mean perimeter of a cell nucleus
    there = gappy.notna().to_numpy()
    np.testing.assert_allclose(whole.to_numpy()[there], gappy.to_numpy()[there], rtol=1e-6)
    draws = ask("impute_draws", "breast-cancer", gappy[35:36], n_draws=5)
    assert draws.n_missing == 1 and len(draws.draws) == 5 and draws.spread[0][2] > 0


def test_a_masked_picture_is_filled(ask: Any) -> None:
    clean = opened(ROOT / "examples" / "digit.png")
    mask = Image.new("L", clean.size, 0)
    mask.putpixel((3, 3), 255)
    filled = ask("impute", "digits", clean, mask=mask, n_draws=2)
    changed = np.asarray(filled, int) != np.asarray(clean, int)
    assert isinstance(filled, Image.Image) and set(np.argwhere(changed).ravel()) <= {3}
    with pytest.raises(TypeError, match="mask"):
        ask("impute", "digits", [[0.0]], mask=mask)


def test_rows_are_compared(ask: Any, detector: Detector, frame: pd.DataFrame) -> None:
    a, b = frame[:2], frame[20:22]
    found = ask("compare", "breast-cancer", a, b, n_points=9)
    energy_a, energy_b = detector.energies(a.to_numpy()), detector.energies(b.to_numpy())
    np.testing.assert_allclose(found.log_ratio, energy_b - energy_a, rtol=1e-4, atol=1e-4)
    assert found.path_energy.shape == (2, 9) and found.position.tolist()[::8] == [0, 1]
    assert ask("compare", "breast-cancer", a, b, path=False).path_integral is None


def test_models_are_composed(ask: Any) -> None:
    rows = np.random.default_rng(0).uniform(0, 16, (5, 8, 8))
    found = ask("compose_score", ["digits", ("digits-cd", 0.5)], rows, fpr=0.1)
    assert [term["model"] for term in found.terms] == ["digits", "digits-cd"]
    scores = [ask("score", name, rows).anomaly_score for name in ("digits", "digits-cd")]
    np.testing.assert_allclose(found.energy, scores[0] + 0.5 * scores[1], rtol=1e-4)
    assert sorted(found.rank) == [1, 2, 3, 4, 5] and found.is_anomaly.all()
    assert ask("compose_score", ["digits", {"model": "digits-cd", "weight": -1}], rows).p_value is None
    made = ask("compose_generate", ["digits", ("digits-cd", 0.1)], 2, seed=1, n_steps=2)
    assert made.samples.shape == (2, 8, 8) and made.model == "digits digits-cd"


def test_drift_of_what_was_seen(ask: Any, frame: pd.DataFrame) -> None:
    ask("score", "breast-cancer", frame)
    found = ask("drift", "breast-cancer")
    assert found.seen >= len(frame) and found.psi is not None and found.verdict


def test_a_model_without_classes_says_so(ask: Any, frame: pd.DataFrame) -> None:
    with pytest.raises(BadRequest, match="classify"):
        ask("classify", "breast-cancer", frame[:2])


def test_failures_have_their_kind(ask: Any, address: str, frame: pd.DataFrame) -> None:
    with pytest.raises(NotFound, match="nothing"):
        ask("score", "nothing", frame[:2])
    with pytest.raises(LimitExceeded) as caught:
        ask("generate", "digits", 10**6)
    assert caught.value.limit == 256 and caught.value.setting == "EBM_MAX_SAMPLES"
    with pytest.raises(Unauthorized), Client(address) as stranger:
        stranger.models()


def test_no_server_is_no_answer() -> None:
    with Client("http://127.0.0.1:1", retries=Retries(attempts=2, backoff=0.001)) as client:
        with pytest.raises(NoAnswer, match="not reached"):
            client.ready()
