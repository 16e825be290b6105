"""The page at `/`: it is there, it is self-contained, and a browser gets the models onto it."""

from __future__ import annotations

import re
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from service.app import CONSOLE, create_app
from service.settings import Settings


def test_the_page_and_all_that_it_loads_are_served(client: Any) -> None:
    page = client.get("/")
    assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    loaded = re.findall(r'(?:src|href)="(/[^"]*)"', page.text)
    assert {"/console/console.js", "/console/console.css", "/console/icon.svg"} <= set(loaded)
    for path in loaded:
        assert client.get(path).status_code == 200, path


def test_the_page_names_no_other_host() -> None:
    for file in CONSOLE.iterdir():
        text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"(https?:)?//[a-z0-9]", text), file.name


def test_every_element_that_the_script_names_is_in_the_page() -> None:
    script = (CONSOLE / "console.js").read_text(encoding="utf-8")
    page = (CONSOLE / "index.html").read_text(encoding="utf-8")
    names = set(re.findall(r'\$\("([a-z-]+)"\)', script))
    assert len(names) > 20
    assert names <= set(re.findall(r'id="([a-z-]+)"', page))


@pytest.mark.browser
def test_a_browser_shows_the_models_and_what_was_refused(
    chromium: str, models_dir: Path, tmp_path: Path
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        app = create_app(Settings(models_dir=models_dir, log_level="error"))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [taken]})
        thread.start()
        try:
            flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync"
            quiet = "--disable-background-networking --disable-component-update"
            while not server.started:
                time.sleep(0.05)
            command = [chromium, *flags.split(), *quiet.split(), "--virtual-time-budget=5000", "--dump-dom"]
            url = f"http://127.0.0.1:{taken.getsockname()[1]}/"
            found = ""
            for attempt in range(
                3
            ):  # on a busy machine the browser itself may give up, and says nothing then
                profile = f"--user-data-dir={tmp_path / str(attempt)}"
                found = subprocess.run(
                    [*command, profile, url], capture_output=True, text=True, timeout=50, check=True
                ).stdout
                if found:
                    break
        finally:
            server.should_exit = True
            thread.join()
    assert "2 models served" in found
    assert '<h2 id="name">blobs</h2>' in found
    assert "<strong>people</strong>" in found
    assert "broken 1 refused" in found
