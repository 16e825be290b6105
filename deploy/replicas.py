"""The profile `replicas` of docker-compose.yml without containers: the same commands, with the same settings, on
127.0.0.1. To try it, to test it, and to see how the parts fit together; not for production.

    .venv/bin/python deploy/replicas.py --port 8080

It needs PostgreSQL (`initdb`, `postgres`) and nginx. Two servers, two workers, a database of its own and the proxy run
until Ctrl-C; logs are in the folder that it names. None is started again when it ends, so that a killed one is missed:

    kill -9 <process id of api-1>       scoring goes on
    kill -9 <process id of a worker>    its job ends all the same
"""

from __future__ import annotations

import argparse
import contextlib
import getpass
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
EBM = Path(sys.executable).with_name("ebm")
READY_WITHIN_S = 120.0
STOP_WITHIN_S = 60.0
# Debian keeps both away from the users' PATH.
PLACES = [str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", *PLACES])
NGINX, INITDB, POSTGRES, CREATEDB = (
    shutil.which(name, path=PATH) for name in ("nginx", "initdb", "postgres", "createdb")
)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has now."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


def nginx_conf(port: int, replicas: list[int]) -> str:
    """deploy/nginx.conf with other addresses: the proxy's, and those of the replicas."""
    text = (ROOT / "deploy" / "nginx.conf").read_text()
    text = text.replace("listen 8080;", f"listen 127.0.0.1:{port};")
    for i, replica in enumerate(replicas, 1):
        text = text.replace(f"server api-{i}:8000 ", f"server 127.0.0.1:{replica} ")
    if "api-" in re.sub(r"#.*", "", text):
        raise SystemExit("deploy/nginx.conf names more replicas than there are")
    return text


def nginx_command(folder: Path) -> list[str]:
    """How nginx is run with folder/nginx.conf; root would give the work to a user who cannot see the folder."""
    user = ["-g", f"user {getpass.getuser()};"] if os.geteuid() == 0 else []
    return [str(NGINX), "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr", *user]


def wait_for(
    url: str, process: subprocess.Popen[bytes], log: Callable[[], str], within_s: float = READY_WITHIN_S
) -> None:
    """Until `url` answers 200; ends the script with the log's last lines where the process ends first."""
    until = time.monotonic() + within_s
    while process.poll() is None and time.monotonic() < until:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):
            return
        time.sleep(0.05)
    state = "does not answer" if process.poll() is None else f"ended with {process.returncode}"
    raise SystemExit(f"{url}: {state}\n" + "\n".join(log().splitlines()[-20:]))


def service(name: str) -> tuple[list[str], dict[str, str]]:
    """Command and settings of a service of docker-compose.yml, with the defaults of its variables."""
    text = (ROOT / "docker-compose.yml").read_text()
    text = re.sub(r"\$\{(\w+)(?::-([^}]*))?\}", lambda m: m[2] or "", text)
    found = yaml.safe_load(text)["services"][name]
    command = found.get("command", ["ebm", "serve"])  # the image's
    return command, {key: str(value or "") for key, value in found["environment"].items()}


class Replicas:
    """The processes, by name, in the order in which they started."""

    def __init__(self, folder: Path, models: Path, port: int):
        self.folder, self.models, self.port = folder, models, port
        self.data = folder / "data"
        self.password = secrets.token_hex(16)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.stack = contextlib.ExitStack()
        self.data.mkdir(parents=True, exist_ok=True)
        (folder / "logs").mkdir(exist_ok=True)

    def start(self) -> None:
        """All of them, each when what it depends on is ready; prints name, process id and address."""
        database = self._postgres()
        ports = []
        for name in ("api-1", "api-2"):
            ports.append(free_port())
            self._ebm(name, name, database, {"EBM_HOST": "127.0.0.1", "EBM_PORT": str(ports[-1])})
        for name in ("worker-1", "worker-2"):
            self._ebm(name, "worker", database, {})
        for name, port in zip(("api-1", "api-2"), ports, strict=True):
            self._ready(name, f"http://127.0.0.1:{port}/readyz")
        proxy = self.folder / "proxy"
        proxy.mkdir(exist_ok=True)
        (proxy / "nginx.conf").write_text(nginx_conf(self.port, ports))
        self._run("proxy", nginx_command(proxy), {})
        self._ready("proxy", f"http://127.0.0.1:{self.port}/readyz")

    def _ebm(self, name: str, like: str, database: int, more: dict[str, str]) -> None:
        command, settings = service(like)
        settings |= {"PGPASSWORD": self.password, "OMP_NUM_THREADS": "1"} | more
        elsewhere = {
            "postgres:5432": f"127.0.0.1:{database}",
            "/app/models": str(self.models),
            "/data": str(self.data),
        }
        for here, there in elsewhere.items():
            settings = {key: value.replace(here, there) for key, value in settings.items()}
        if "EBM_TRUSTED_PROXIES" in settings:
            settings["EBM_TRUSTED_PROXIES"] = "127.0.0.1"
        self._run(name, [str(EBM), *command[1:]], settings)

    def _postgres(self) -> int:
        # Not below `folder`, which only its owner may see: PostgreSQL does not run as root.
        folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="ebm-postgres-")))
        who: dict[str, Any] = {}
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
            who = {"user": "postgres", "group": "postgres", "extra_groups": []}
        secret = folder / "password"
        secret.touch(0o600)
        secret.write_text(self.password)
        if who:
            shutil.chown(secret, "postgres", "postgres")
        made = subprocess.run(
            [str(INITDB), "--pgdata", str(folder / "database"), "--username=ebm", f"--pwfile={secret}"]
            + ["--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-sync"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            **who,
        )
        if made.returncode:
            raise SystemExit(f"initdb: {made.stderr}")
        port = free_port()
        command = [str(POSTGRES), "-D", str(folder / "database"), "-p", str(port), "-k", str(folder)]
        self._run("postgres", [*command, "-h", "127.0.0.1"], {}, cwd=folder, **who)
        create = [str(CREATEDB), "-h", "127.0.0.1", "-p", str(port), "-U", "ebm", "ebm"]
        until = time.monotonic() + READY_WITHIN_S
        while True:
            made = subprocess.run(
                create, env={"PGPASSWORD": self.password}, capture_output=True, text=True, check=False
            )
            if made.returncode == 0:
                return port
            if time.monotonic() > until or self.processes["postgres"].poll() is not None:
                raise SystemExit(f"postgres: {made.stderr}{self._log('postgres')}")
            time.sleep(0.1)

    def _run(self, name: str, command: list[str], settings: dict[str, str], **how: Any) -> None:
        # Nothing of the caller's own settings.
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("EBM_")}
        log = self.stack.enter_context((self.folder / "logs" / f"{name}.log").open("ab"))
        # Sessions of their own: Ctrl-C is ours alone, which stops them in order.
        self.processes[name] = subprocess.Popen(
            command, env=inherited | settings, stdout=log, stderr=log, start_new_session=True, **how
        )
        say(f"{name} {self.processes[name].pid} {settings.get('EBM_PORT', '')}".rstrip())

    def _log(self, name: str) -> str:
        return (self.folder / "logs" / f"{name}.log").read_text(errors="replace")

    def _ready(self, name: str, url: str) -> None:
        wait_for(url, self.processes[name], lambda: self._log(name))

    def watch(self) -> None:
        """Says once of each process that it has ended; returns when all have."""
        left = dict(self.processes)
        while left:
            for name, process in list(left.items()):
                if process.poll() is not None:
                    say(f"{name} ended with {process.returncode}")
                    del left[name]
            time.sleep(0.2)

    def stop(self) -> None:
        """The last started first; who does not end in time is killed."""
        for name, process in reversed(self.processes.items()):
            if process.poll() is None:
                # Of PostgreSQL SIGINT does not wait for those who are still connected.
                process.send_signal(signal.SIGINT if name == "postgres" else signal.SIGTERM)
                try:
                    process.wait(STOP_WITHIN_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        self.stack.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, default=8080, help="of the proxy; 0: a free one")
    parser.add_argument("--models", type=Path, default=ROOT / "models", help="folder of published models")
    parser.add_argument("--folder", type=Path, help="for data and logs; default: one that goes at the end")
    given = parser.parse_args()
    for name, found in (("nginx", NGINX), ("PostgreSQL", INITDB and POSTGRES), ("ebm", EBM.exists())):
        if not found:
            raise SystemExit(f"{name} is not installed")
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    with contextlib.ExitStack() as stack:
        folder = given.folder or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="ebm-replicas-"))
        )
        folder.mkdir(parents=True, exist_ok=True)
        here = Replicas(folder.resolve(), given.models.resolve(), given.port or free_port())
        stack.callback(here.stop)
        with contextlib.suppress(KeyboardInterrupt):
            here.start()
            say(f"ready on http://127.0.0.1:{here.port}, logs in {here.folder / 'logs'}")
            here.watch()


if __name__ == "__main__":
    main()
