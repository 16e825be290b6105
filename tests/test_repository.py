"""Rules about the files themselves: short, finished, and free of the places where they were written."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAX_LINES = 300
OUTPUTS = {".venv", ".git", "build", "dist", "runs", "data"}

# Joined here so that this file does not contain what it looks for.
PACKAGE_HOSTS = ["py" + "pi.org", "python" + "hosted", "download." + "pytorch", "registry." + "npmjs"]
FORBIDDEN = {
    "a path of one machine": re.compile(r"(?<![\w.}])/" + r"(work|opt|home|root)/[a-z]"),
    "a package host (give it by environment instead)": re.compile("|".join(map(re.escape, PACKAGE_HOSTS))),
    "something unfinished": re.compile(
        r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "T" + "BD", "X" + "XX"]) + r")\b"
    ),
}


def files() -> list[Path]:
    """What git would commit; without git (an unpacked archive), everything that is not an output."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, capture_output=True, check=False) if (ROOT / ".git").exists() else None
    if listing is not None and listing.returncode == 0:
        found = [ROOT / name for name in listing.stdout.decode().split("\0") if name]
    else:
        found = [p for p in ROOT.rglob("*") if p.relative_to(ROOT).parts[0] not in OUTPUTS]
    return sorted(p for p in found if p.is_file())


FILES = files()


def text(path: Path) -> str | None:
    """The text of a file; None for binary ones."""
    content = path.read_bytes()
    return None if b"\0" in content[:8192] else content.decode("utf-8", errors="replace")


def test_the_listing_sees_the_repository() -> None:
    names = {str(path.relative_to(ROOT)) for path in FILES}
    assert {"pyproject.toml", "ebm/data/__init__.py", "tests/test_repository.py"} <= names


def test_python_files_are_short() -> None:
    lines = {
        str(p.relative_to(ROOT)): len(p.read_text(encoding="utf-8").splitlines())
        for p in FILES
        if p.suffix == ".py"
    }
    assert {name: n for name, n in lines.items() if n > MAX_LINES} == {}


@pytest.mark.parametrize("what", sorted(FORBIDDEN))
def test_no_file_contains(what: str) -> None:
    pattern = FORBIDDEN[what]
    found = [
        f"{path.relative_to(ROOT)}:{number}: {match.group()}"
        for path in FILES
        for number, line in enumerate((text(path) or "").splitlines(), 1)
        if (match := pattern.search(line))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("what", "line"),
    [
        ("a path of one machine", "see /" + "work/main/ebm"),
        (
            "a package host (give it by environment instead)",
            "pip install --index-url https://" + "py" + "pi.org/simple",
        ),
        ("something unfinished", "# TO" + "DO: later"),
    ],
)
def test_the_patterns_match(what: str, line: str) -> None:
    assert FORBIDDEN[what].search(line)


def test_no_weights_are_pickled() -> None:
    pickled = [
        str(p.relative_to(ROOT)) for p in FILES if p.suffix in {".pkl", ".pt", ".pth", ".joblib", ".ckpt"}
    ]
    assert pickled == []


def test_pins_cover_every_direct_dependency() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [
        *project["dependencies"],
        *(d for extra in project["optional-dependencies"].values() for d in extra),
    ]
    pins = re.findall(
        r"^([\w.-]+)==[\w.]+$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE
    )
    pinned = {pin.lower().replace("_", "-") for pin in pins}
    assert [
        name for d in wanted if (name := re.split(r"[\[<>=! ]", d)[0].lower().replace("_", "-")) not in pinned
    ] == []
