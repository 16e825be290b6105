"""The app under a real uvicorn on a free port of 127.0.0.1, in a thread of this process."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import uvicorn

from service.app import create_app
from service.jobs.job import JobStore
from service.settings import Settings


@contextlib.contextmanager
def live_server(settings: Settings, job_store: JobStore | None = None) -> Iterator[str]:
    """The server's address, once it answers; the server stops with the block."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        app = create_app(settings, job_store)
        config = uvicorn.Config(app, log_level="error", access_log=False, log_config=None)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listening],), name="live server")
        thread.start()
        try:
            until = time.monotonic() + 60
            while not server.started and thread.is_alive() and time.monotonic() < until:
                time.sleep(0.01)
            assert server.started, "the server did not start"
            host, port = listening.getsockname()
            yield f"http://{host}:{port}"
        finally:
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive(), "the server did not stop"
