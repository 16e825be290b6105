"""The server's processes: one, or several workers behind one socket."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from ebm.errors import BadConfig, EBMError
from service.auth import Auth
from service.settings import Settings

if TYPE_CHECKING:
    from service.app import App

SHARED_METRICS = "PROMETHEUS_MULTIPROC_DIR"
BACKLOG = 2048


class Config(uvicorn.Config):
    """How uvicorn runs the app. Sent to each worker, which then imports the app itself."""

    def __init__(self, settings: Settings):
        super().__init__(
            "service.app:create_app",
            factory=True,
            interface="asgi3",
            host=settings.host,
            port=settings.port,
            workers=settings.workers,
            loop="auto",  # uvloop, where there is one
            ws="none",
            log_config=None,  # service/telemetry/logs.py
            log_level="debug" if settings.log_level == "debug" else "warning",
            access_log=False,
            server_header=False,
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=settings.trusted_proxies or None,
            backlog=BACKLOG,
            timeout_keep_alive=settings.keep_alive_s,
            timeout_graceful_shutdown=int(settings.drain_s) + 1,
            # A worker that loads many models answers late.
            timeout_worker_healthcheck=60,
        )
        self.settings = settings
        self._app: App | None = None

    def load_app(self) -> Any:
        from service.app import create_app

        def create() -> App:
            self._app = app = create_app(self.settings)
            return app

        return create

    def load(self) -> None:
        from service.protocol import limited

        self.http = connections = limited(self.settings.head_timeout_s, self.settings.max_head_bytes)
        try:
            super().load()
            app = self._app
            # With CORS, a browser would not show a page an answer without its headers.
            if app is not None and not self.settings.cors_origins:
                connections.refusal = app.overload.refusal
        except EBMError as error:
            if self.workers == 1:
                raise
            # With this code the supervisor gives up; with any other it would start workers for ever.
            sys.stderr.write(f"error: {error}\n")
            sys.exit(STARTUP_FAILURE)


class Workers(Multiprocess):
    """uvicorn's supervisor, which stops to listen before its workers do: no connection is left to wait for nobody."""

    def terminate_all(self) -> None:
        for bound in self.sockets:
            bound.close()
        super().terminate_all()


def bind(host: str, port: int) -> socket.socket:
    """The socket of the server; port 0 takes a free one.

    Raises:
        EBMError: the address is in use, or none of this machine.
    """
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        # Heard at once, so that early clients wait for the models instead of being turned away.
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        raise EBMError(f"{host}:{port}: {(error.strerror or str(error)).lower()}") from None
    bound.set_inheritable(True)
    return bound


def check(settings: Settings) -> None:
    """What the workers would all fail on, said once, before any starts.

    Raises:
        BadConfig: what is wrong.
    """
    Auth.of(settings)
    if settings.otel_endpoint and importlib.util.find_spec("opentelemetry.exporter") is None:
        raise BadConfig("EBM_OTEL_ENDPOINT: traces need the extra: pip install 'ebm-service[otel]'")


def run(settings: Settings, on_bound: Callable[[str], None] = lambda url: None) -> bool:
    """Serve until told to stop; SIGTERM and SIGINT finish the work under way. `on_bound` gets the address.

    Returns:
        Whether the server came up.

    Raises:
        EBMError: the settings cannot be used, or the address cannot be bound.
    """
    check(settings)
    with bind(settings.host, settings.port) as bound, _runtime_dir(settings) as settings:
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        on_bound(f"http://{host}:{bound.getsockname()[1]}")
        config = Config(settings)
        if settings.workers > 1:
            supervisor = Workers(config, sockets=[bound])
            supervisor.run()
            return all(process.exitcode != STARTUP_FAILURE for process in supervisor.processes)
        return _run_here(config, bound)


def _run_here(config: Config, bound: socket.socket) -> bool:
    server = uvicorn.Server(config)
    # uvicorn raises the signal again once it has stopped in order; that must not end us with the signal's code.
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[bound])
    except SystemExit:  # uvicorn has said why
        return False
    finally:
        signal.signal(signal.SIGTERM, before)
    return server.started


@contextlib.contextmanager
def _runtime_dir(settings: Settings) -> Iterator[Settings]:
    """The settings with a folder for what workers share, metrics above all; one process needs none."""
    if settings.workers == 1:
        yield settings
        return
    with contextlib.ExitStack() as stack:
        folder = settings.runtime_dir
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ebm-")))
        metrics = folder / "metrics"
        shutil.rmtree(metrics, ignore_errors=True)  # counts of an earlier run
        metrics.mkdir(parents=True)
        # Read by prometheus-client when a worker imports it.
        os.environ[SHARED_METRICS] = str(metrics)
        stack.callback(os.environ.pop, SHARED_METRICS, None)
        yield settings.model_copy(update={"runtime_dir": folder})
