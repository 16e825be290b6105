"""What the documents print works: every request is sent by curl to a real server, and answered as printed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from live_server import live_server

from service.settings import Settings

ROOT = Path(__file__).parents[1]
DOCUMENTS = ["README.md", "docs/api.md", "docs/open-inference-protocol.md"]
ADDRESS = "http://127.0.0.1:8000"
REST = "..."  # in a printed answer: more of them


class Call(NamedTuple):
    """A block of shell, the status it should meet, and the JSON printed below it."""

    where: str
    script: str
    status: str | None
    answer: str | None


def calls() -> list[Call]:
    found = []
    for name in DOCUMENTS:
        path = ROOT / name
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        pattern = r"^```bash\n(.*?)^```\n(?:\n```json\n(.*?)^```)?"
        for block in re.finditer(pattern, text, re.MULTILINE | re.DOTALL):
            script, answer = block.groups()
            if ADDRESS in script:
                status = re.match(r"# answers (\d+)\n", script)
                line = text.count("\n", 0, block.start()) + 1
                found.append(Call(f"{name}:{line}", script, status and status[1], answer))
    return found


CALLS = calls()


def agrees(shown: Any, real: Any) -> bool:
    """Whether the printed JSON is that of the answer, as far as it goes: "..." stands for anything, or for more."""
    if shown == REST:
        return True
    if isinstance(shown, dict):
        named = shown.keys() - {REST}
        whole = REST in shown or named == real.keys()
        return whole and all(key in real and agrees(shown[key], real[key]) for key in named)
    if isinstance(shown, list):
        more = shown[-1:] == [REST]
        shown = shown[:-1] if more else shown
        fits = len(shown) <= len(real) if more else len(shown) == len(real)
        return fits and all(agrees(one, other) for one, other in zip(shown, real, strict=False))
    if isinstance(shown, float) and isinstance(real, int | float):
        return shown == pytest.approx(real, rel=2e-3)
    return shown == real


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("docs")
    with live_server(Settings(models_dir=ROOT / "models", data_dir=folder, log_level="error")) as url:
        yield url


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
@pytest.mark.parametrize("call", CALLS, ids=[call.where for call in CALLS])
def test_every_printed_request_is_answered_as_printed(call: Call, address: str, tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    script = call.script.replace(ADDRESS, address).replace("127.0.0.1:8000", address.removeprefix("http://"))
    script = re.sub(r"\bcurl ", "curl --fail-with-body --max-time 60 ", script)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, capture_output=True, timeout=120
    )
    said = done.stdout.decode("utf-8", "replace")
    if call.status is None:
        assert done.returncode == 0, said + done.stderr.decode()
    else:
        assert done.returncode == 22 and json.loads(said)["status"] == int(call.status), said
    for name in re.findall(r"(?:-o|>) (\S+)", script):
        assert (tmp_path / name).stat().st_size > 0, f"{name} is empty"
    if call.answer is not None:
        shown, real = json.loads(call.answer), json.loads(said)
        assert agrees(shown, real), f"printed: {shown}\nanswered: {real}"


def test_printed_answers_are_compared() -> None:
    real = {"a": 1.0004, "b": [1, 2, 3], "c": None}
    for shown in (
        {"a": 1.0, "...": "..."},
        {"a": 1.0, "b": [1, "..."], "c": None},
        {"b": "...", "...": "..."},
    ):
        assert agrees(shown, real)
    for shown in (
        {"a": 1.0, "b": [1, "..."]},
        {"d": "...", "...": "..."},
        {"a": 1.1, "...": "..."},
        {"b": [1, 2], "...": "..."},
        {"b": [2, "..."], "...": "..."},
        {"c": False, "...": "..."},
    ):
        assert not agrees(shown, real), shown


def test_the_client_document_runs(address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "client.md").read_text(encoding="utf-8")
    session: dict[str, Any] = {}
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) > 3
    for block in blocks:
        exec(compile(block.replace(ADDRESS, address), "docs/client.md", "exec"), session)
    assert list(session["flagged"]["is_anomaly"]) == [True]
    assert session["filled"].notna().all().all()
    assert session["shown"][-1] == "done"
    assert session["job"]["state"] == "succeeded" and session["scored"].stat().st_size > 0
    assert session["both"][0].rank.tolist() == session["scores"].rank.tolist()


def test_the_client_in_the_readme_runs(
    address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n([^`]*ebm\.client.*?)^```", text, re.MULTILINE | re.DOTALL)
    exec(compile(block.replace(ADDRESS, address), "README.md", "exec"), {})
    assert "p_value" in capsys.readouterr().out


def test_every_path_of_the_api_is_in_the_documents(address: str) -> None:
    text = "".join((ROOT / name).read_text("utf-8") for name in DOCUMENTS if (ROOT / name).exists())
    for path in httpx.get(f"{address}/openapi.json").json()["paths"]:
        if path.startswith("/v2") and not (ROOT / DOCUMENTS[2]).exists():
            continue
        operation = path.rsplit("}", 1)[-1] or path
        assert operation in text, f"{path} is not documented"


def test_every_kind_of_problem_is_documented() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "service").rglob("*.py"))
    kinds = set(re.findall(r"Problem\(\s*\d{3},\s*\"([a-z-]+)\"", source))
    kinds |= set(re.findall(r"super\(\).__init__\(\s*\d{3},\s*\"([a-z-]+)\"", source))
    assert {"bad-input", "queue-full", "limit-exceeded"} <= kinds
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    never_seen = {"internal", "client-gone", "http-error"}
    assert {kind for kind in kinds - never_seen if f"`{kind}`" not in text} == set()


@pytest.mark.parametrize(
    "name", ["README.md", "CONTRIBUTING.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]
)
def test_links_lead_somewhere(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#\s]*)(#[^)\s]*)?\)", text):
        path, anchor = target
        file = (ROOT / name).parent / path if path else ROOT / name
        assert file.exists(), f"{name}: {path}"
        if anchor:
            titles = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
            assert anchor[1:] in slugs, f"{name}: {path}{anchor}"
