"""The servers and the settings that are tried: this service, the bare echo, LitServe, MLServer, FastAPI with lists.

LitServe and MLServer live in environments of their own under benchmarks/.venvs/, which see the project's torch behind
their own packages, so that all run the same torch.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from _service_model import Workplace
from _service_servers import Spec, free_port

HERE = Path(__file__).parent
PEERS, VENVS = HERE / "peers", HERE / ".venvs"
PACKAGES = {
    "litserve": ("litserve==0.2.19",),
    "mlserver": (
        "mlserver==1.7.1",
        "uvloop==0.21.0",
    ),  # its parallel workers do not start under a later uvloop
}
PYTHON = Path(sys.executable)


def environment(peer: str) -> Path:
    """The Python of a peer's environment, made on first use.

    Raises:
        RuntimeError: it cannot be installed, with pip's last line.
    """
    folder = VENVS / peer
    python, mark = folder / "bin" / "python", folder / ".ready"
    if mark.exists() and mark.read_text() == str(PACKAGES[peer]):
        return python
    print(f"installing {', '.join(PACKAGES[peer])} into {folder.relative_to(HERE.parent)}", flush=True)
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(folder)],
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES[peer]],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = (done.stderr or done.stdout).strip().splitlines()
            raise RuntimeError(f"{peer} cannot be installed: {lines[-1] if lines else done.returncode}")
    inside = subprocess.run(
        [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    )
    # A .pth entry comes after the environment's own packages: only what is missing there is taken from here.
    (Path(inside.stdout.strip()) / "zz_project.pth").write_text(sysconfig.get_path("purelib") + "\n")
    mark.write_text(str(PACKAGES[peer]))
    return python


def versions(peer: str) -> dict[str, str]:
    """What a peer's environment runs with."""
    names = ("torch", "numpy", "pydantic", "fastapi", "starlette", "uvicorn", "uvloop", "httptools", peer)
    code = f"import importlib.metadata as m, json; print(json.dumps({{p: m.version(p) for p in {names}}}))"
    done = subprocess.run(
        [str(environment(peer)), "-c", code], capture_output=True, text=True, check=True, cwd=PEERS
    )
    return json.loads(done.stdout)


def service(place: Workplace, threads: int | None, log_level: str = "warning", **settings: str) -> Spec:
    """`ebm serve`; with its own limits unless `settings` (EBM_...) say otherwise."""
    command = [str(PYTHON.with_name("ebm")), "serve", "--port", "{port}", "--models", str(place.models)]
    if threads is not None:
        command += ["--threads", str(threads)]
    env = {"EBM_LOG_LEVEL": log_level} | settings
    return Spec("service", tuple(command), "/readyz", env, settings=f"threads {threads}, log {log_level}")


def uvicorn(name: str, app: str, place: Workplace, threads: int) -> Spec:
    command = (str(PYTHON), "-m", "uvicorn", app, "--host", "127.0.0.1", "--port", "{port}")
    options = ("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning")
    env = {"OMP_NUM_THREADS": str(threads), "PEER_MODEL": str(place.small)}
    return Spec(name, command + options, "/ready", env, cwd=PEERS)


def echo(place: Workplace, threads: int) -> Spec:
    return uvicorn("echo", "echo_app:app", place, threads)


def pydantic_lists(place: Workplace, threads: int) -> Spec:
    return uvicorn("pydantic", "pydantic_app:app", place, threads)


def litserve(place: Workplace, threads: int, settings: dict[str, Any]) -> Spec:
    env = {
        "OMP_NUM_THREADS": str(threads),
        "PEER_MODEL": str(place.small),
        "PEER_PORT": "{port}",
        "PEER_SETTINGS": json.dumps(settings),
    }
    command = (str(environment("litserve")), "litserve_app.py")
    return Spec("litserve", command, "/health", env, cwd=PEERS, settings=_said(settings))


def mlserver(place: Workplace, threads: int, settings: dict[str, Any]) -> Spec:
    """Metrics, access log, gzip and debug are off: all that its settings can take away."""
    batching = {key: value for key, value in settings.items() if key.startswith("max_batch")}
    folder = place.folder / ("mlserver-" + "-".join(f"{k}-{v}" for k, v in sorted(settings.items())))
    folder.mkdir(exist_ok=True)
    server = {
        "debug": False,
        "host": "127.0.0.1",
        "metrics_endpoint": None,
        "gzip_enabled": False,
        "parallel_workers": settings.get("parallel_workers", 0),
        "load_models_at_startup": True,
    }
    model = {"name": "small", "implementation": "mlserver_runtime.Runtime"} | batching
    (folder / "settings.json").write_text(json.dumps(server, indent=1))
    (folder / "model-settings.json").write_text(json.dumps(model, indent=1))
    env = {
        "OMP_NUM_THREADS": str(threads),
        "PEER_MODEL": str(place.small),
        "PYTHONPATH": str(PEERS),
        "MLSERVER_HTTP_PORT": "{port}",
        "MLSERVER_GRPC_PORT": str(free_port()),
    }
    command = (str(environment("mlserver").with_name("mlserver")), "start", str(folder))
    return Spec("mlserver", command, "/v2/models/small/ready", env, cwd=folder, settings=_said(settings))


def candidates(peer: str, quick: bool) -> list[dict[str, Any]]:
    """The settings that are tried, of which the fastest is kept."""
    if peer == "litserve":
        plain = [
            {"workers_per_device": w, "fast_queue": q} for w, q in itertools.product((1, 2), (False, True))
        ]
        plain += [{"workers_per_device": 2, "fast_queue": True, "num_api_servers": 2}]
        batched = [
            {"workers_per_device": w, "fast_queue": q, "max_batch_size": size, "batch_timeout": wait}
            for (w, q), (size, wait) in itertools.product(
                ((1, False), (1, True), (2, True)), ((8, 0.001), (32, 0.001), (32, 0.005), (64, 0.01))
            )
        ]
        batched += [
            {"fast_queue": True, "num_api_servers": 2, "max_batch_size": 32, "batch_timeout": 0.001},
        ]
        return [plain[1], batched[5]] if quick else plain + batched
    batching = [{}] + [
        {"max_batch_size": size, "max_batch_time": wait}
        for size, wait in ((8, 0.001), (32, 0.001), (32, 0.005), (64, 0.01))
    ]
    grid = [{"parallel_workers": w} | b for w, b in itertools.product((0, 1, 2), batching)]
    return [grid[0], grid[2]] if quick else grid


def _said(settings: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in settings.items()) or "defaults"
