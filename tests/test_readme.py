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
import pandas as pd
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from ebm.cli.app import app as command_line
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


def test_the_readme_shows_four_requests() -> None:
    assert list(CURLS) == ["score", "explain", "denoise", "generate"]


def test_the_hot_spot_is_the_planted_fault(answers: dict[str, httpx.Response]) -> None:
    answer = answers["explain"]
    assert answer.status_code == 200, answer.text
    red, green, blue = np.asarray(Image.open(io.BytesIO(answer.content)), dtype=float).transpose(2, 0, 1)
    heat = red - (green + blue) / 2
    line, across = (place / (len(heat) / 32) for place in np.unravel_index(heat.argmax(), heat.shape))
    assert 13 <= line <= 23 and 8 <= across <= 18, "see examples/make_examples.py for where the fault is"


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
            ROOT / "examples" / "noisy_boot.png",
            ROOT / "examples" / "boot.png",
        )
    )
    assert np.square(denoised - clean).mean() < 0.25 * np.square(noisy - clean).mean()


def test_generate(answers: dict[str, httpx.Response]) -> None:
    answer = answers["generate"]
    assert answer.status_code == 200, answer.text
    grid = np.asarray(Image.open(io.BytesIO(answer.content)))
    assert min(grid.shape) >= 4 * 32 and grid.std() > 10
    assert answers["again"].content == answer.content, "same seed, other samples"


def test_python(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    (code,) = (block for block in blocks("python") if "resolve" in block)
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out.count("p = ") == 5


def test_the_first_five_minutes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The blocks in one session, what they say they print, and then the commands on what they saved."""
    monkeypatch.chdir(tmp_path)
    first, then, sklearn = (
        block for block in blocks("python") if "resolve" not in block and "ebm.client" not in block
    )
    session: dict[str, Any] = {}
    exec(compile(first, "README.md", "exec"), session)
    # A p-value is a rank among 400: where two rows nearly tie, machines may round it apart.
    printed, shown = (
        pd.read_csv(io.StringIO(re.sub(" {2,}", ",", text)), sep=r"[, ]+", engine="python")
        for text in (capsys.readouterr().out, blocks("text")[0])
    )
    pd.testing.assert_frame_equal(printed, shown, rtol=0, atol=2.5 / 401)
    exec(compile(then, "README.md", "exec"), session)
    named, shown_flow, normal_flow = re.findall(r"# (\w+): ([\d.]+), and about ([\d.]+)", then)[0]
    name, cell = re.findall(r"(\w+) \(([^)]*)\)", capsys.readouterr().out)[0]
    assert name == named == "flow"
    np.testing.assert_allclose(
        [float(x) for x in cell.split(",")], [float(shown_flow), float(normal_flow)], atol=0.1
    )
    assert session["filled"]["valve"].tolist() == ["open", "half", "open"]
    with Image.open("why.png") as new, Image.open(ROOT / "docs" / "why.png") as committed:
        assert new.size == committed.size
    (commands,) = (block for block in blocks("console") if "today.csv" in block)
    score, explain, serve = commands.splitlines()
    for line in (score, explain):
        result = CliRunner().invoke(command_line, shlex.split(line)[1:])
        assert result.exit_code == 0, result.stderr
    assert serve == f"ebm serve --models {session['detector'].save('models', 'again').parents[1]}"
    exec(compile(sklearn, "README.md", "exec"), session)
    assert session["search"].best_score_ > 0.95
    assert session["labels"].tolist() == [0] * 90 + [1] * 10


def test_training_from_a_file_takes_these_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = (block for block in blocks("console") if "ebm train tabular" in block)
    monkeypatch.chdir(tmp_path)
    rows = [f"{i},{i % 7},{'ok' if i % 5 else 'broken'}" for i in range(40)]
    Path("pumps.csv").write_text("\n".join(["id,flow,state", *rows]) + "\n")
    Path("models/pumps/1").mkdir(parents=True)  # all that is read, but for the training itself
    result = CliRunner().invoke(command_line, shlex.split(block.splitlines()[0])[1:])
    assert "this version is published already" in str(result.stderr)


def test_configuration() -> None:
    (document,) = blocks("yaml")
    config = validate(TrainConfig, yaml.safe_load(document), "README.md")
    assert config.name == "pumps"


def test_the_example_rows_are_a_complete_body() -> None:
    body = json.loads((ROOT / "examples" / "breast_cancer_rows.json").read_text(encoding="utf-8"))
    assert [len(row) for row in body["instances"]] == [30, 30]
