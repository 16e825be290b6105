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
