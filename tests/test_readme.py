"""What the README prints works: its requests, its Python and its configuration, against the shipped models."""

from __future__ import annotations

import asyncio
import io
import json
import re
import shlex
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
import yaml
from PIL import Image

from ebm.config import validate
from ebm.training.config import TrainConfig
from service.app import create_app
from service.settings import Settings

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


CURLS = {urlsplit(shlex.split(line)[2]).path.rsplit("/", 1)[1]: line for line in blocks("bash")}


def request_of(line: str) -> dict[str, Any]:
    """The request that `curl` would send, as far as the README uses it; run from the repository's root."""
    command, silent, url, *rest = shlex.split(line)
    assert (command, silent) == ("curl", "-s")
    headers: dict[str, str] = {}
    content = b""
    for option, value in zip(rest[::2], rest[1::2], strict=True):
        match option:
            case "-H":
                name, _, text = value.partition(":")
                headers[name] = text.strip()
            case "-d" | "--data-binary":
                content = (ROOT / value[1:]).read_bytes() if value[0] == "@" else value.encode()
            case "-o":
                continue
            case _:
                pytest.fail(f"this test does not know curl's {option}")
    return {"url": url, "headers": headers, "content": content}


@pytest.fixture(scope="module")
def answers() -> dict[str, httpx.Response]:
    """The answer to each request of the README, and to `generate` a second time."""
    app = create_app(Settings(models_dir=ROOT / "models", log_level="error"))

    async def ask() -> dict[str, httpx.Response]:
        transport = httpx.ASGITransport(app)
        async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport) as client:
            lines = {**CURLS, "again": CURLS["generate"]}
            return {name: await client.post(**request_of(line)) for name, line in lines.items()}

    return asyncio.run(ask())


def test_the_readme_shows_three_requests() -> None:
    assert list(CURLS) == ["score", "denoise", "generate"]


def test_score(answers: dict[str, httpx.Response]) -> None:
    answer = answers["score"]
    assert answer.status_code == 200, answer.text
    scores = answer.json()
    benign, malignant = scores["anomaly_score"]
    assert malignant > benign
    assert scores["is_anomaly"] == [False, True]
    # Every field of the README's table is there, once for each row.
    fields = re.findall(r"^\| `(\w+)` \|", README, re.MULTILINE)
    assert fields == ["energy", "anomaly_score", "p_value", "is_anomaly", "rank"]
    assert {len(scores[field]) for field in fields} == {2}


def test_denoise(answers: dict[str, httpx.Response]) -> None:
    answer = answers["denoise"]
    assert answer.status_code == 200, answer.text
    denoised, noisy, clean = (
        np.asarray(Image.open(source), dtype=float)
        for source in (
            io.BytesIO(answer.content),
            ROOT / "examples" / "noisy_digit.png",
            ROOT / "examples" / "digit.png",
        )
    )
    assert np.square(denoised - clean).mean() < 0.6 * np.square(noisy - clean).mean()


def test_generate(answers: dict[str, httpx.Response]) -> None:
    answer = answers["generate"]
    assert answer.status_code == 200, answer.text
    grid = np.asarray(Image.open(io.BytesIO(answer.content)))
    assert min(grid.shape) >= 4 * 8 and grid.std() > 10
    assert answers["again"].content == answer.content, "same seed, other samples"


def test_python(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    (code,) = blocks("python")
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out.count("p = ") == 5


def test_configuration() -> None:
    (document,) = blocks("yaml")
    config = validate(TrainConfig, yaml.safe_load(document), "README.md")
    assert config.name == "pumps"


def test_the_example_rows_are_a_complete_body() -> None:
    body = json.loads((ROOT / "examples" / "breast_cancer_rows.json").read_text(encoding="utf-8"))
    assert [len(row) for row in body["instances"]] == [30, 30]
