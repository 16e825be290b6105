"""A single row at 1 and at 32 connections, every server by turns; the peers at their best settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from _service_job import Job
from _service_measure import Pace, failures, figures, measure, median, ratio, row, spread
from _service_measure import Running as Generating
from _service_model import Workplace, as_instances, as_tensor, http, single_rows
from _service_servers import Server, Spec, all_running, awake, running
from _service_specs import candidates, echo, litserve, mlserver, pydantic_lists, service, versions

CONNECTIONS = (1, 32)
SCORE, INFER, ECHO = "/v1/models/small/score", "/v2/models/small/infer", "/echo"
PATHS = {
    "echo": ECHO,
    "litserve": "/predict",
    "mlserver": INFER,
    "pydantic": "/score",
}
TITLES = {
    "service": "this service, /v1 score",
    "service v2": "this service, /v2 infer",
    "echo": "bare Starlette echo",
    "litserve": "LitServe",
    "mlserver": "MLServer",
    "pydantic": "FastAPI, pydantic lists",
}
# At 32 connections: at least so many times the peer (for the echo, a share of it).
TARGETS = {"litserve": 6.0, "mlserver": 10.0, "echo": 0.7}
Build = Callable[[Workplace, int, dict[str, Any]], Spec]
BUILD: dict[str, Build] = {"litserve": litserve, "mlserver": mlserver}


def run(
    place: Workplace, logs: Path, pace: Pace, threads: int, log_level: str, peers: bool
) -> dict[str, Any]:
    """Figures of every server and round, the settings that won, and the rows of the table."""
    bodies = {
        "instances": [as_instances(x) for x in single_rows()],
        "v2": [as_tensor(x) for x in single_rows()],
    }
    swept: dict[str, Any] = {}
    specs = [service(place, threads, log_level), echo(place, threads)]
    contenders: dict[tuple[str, int], tuple[str, str]] = {}  # (title key, connections) -> (server, path)
    for n in CONNECTIONS:
        contenders |= {("service", n): ("service", SCORE), ("service v2", n): ("service", INFER)}
        contenders[("echo", n)] = ("echo", ECHO)
    if peers:
        specs.append(pydantic_lists(place, threads))
        contenders |= {("pydantic", n): ("pydantic", PATHS["pydantic"]) for n in CONNECTIONS}
        for peer, build in BUILD.items():
            try:
                swept[peer] = sweep(peer, build, place, logs, pace, threads, bodies)
            except RuntimeError as error:
                swept[peer] = {"error": str(error)}
                continue
            for n in CONNECTIONS:
                best = build(place, threads, swept[peer]["best"][str(n)])
                name = f"{peer} {best.settings}"
                if name not in [spec.name for spec in specs]:
                    specs.append(Spec(name, best.command, best.ready, best.env, best.cwd, best.settings))
                contenders[(peer, n)] = (name, PATHS[peer])
    with all_running(specs, logs) as servers:
        same, refused = agreement(servers, contenders, bodies)
        contenders = {key: value for key, value in contenders.items() if key[0] not in refused}
        rounds = _rounds(servers, contenders, bodies, pace)
    out = _rows(rounds, swept)
    out += [row("answers", why, False, f"single row: {TITLES[key]}") for key, why in refused.items()]
    return {"rounds": rounds, "swept": swept, "agreement": same, "rows": out}


def sweep(
    peer: str,
    build: Build,
    place: Workplace,
    logs: Path,
    pace: Pace,
    threads: int,
    bodies: dict[str, list[bytes]],
) -> dict[str, Any]:
    """Every candidate setting of a peer, at each number of connections. The three fastest are measured again, twice, so
    that no lucky second decides; the best median is kept."""
    seconds = min(2.0, pace.seconds)

    def attempt(settings: dict[str, Any], connections: tuple[int, ...]) -> list[dict[str, Any]]:
        spec = build(place, threads, settings)
        found: list[dict[str, Any]] = []
        try:
            with running(spec, logs, timeout_s=40) as server:
                for n in connections:
                    job = _job(server.port, PATHS[peer], _body(peer, bodies), n, seconds, pace)
                    rate = figures(Generating(job).result())["good_per_s"]
                    found.append({"settings": settings, "connections": n, "good_per_s": rate})
        except RuntimeError as error:  # a combination that the peer does not take is not its best
            found.append({"settings": settings, "error": str(error).rpartition("|")[2].strip()})
        said = ", ".join(str(one.get("error") or f"{one['good_per_s']:.0f}/s") for one in found)
        print(f"  {peer} at {connections} connections: {spec.settings}: {said}", flush=True)
        return found

    tried = [one for settings in candidates(peer, pace.quick) for one in attempt(settings, CONNECTIONS)]
    best: dict[str, Any] = {}
    for n in CONNECTIONS:
        found = [one for one in tried if one.get("connections") == n and one["good_per_s"] > 0]
        if not found:
            raise RuntimeError(f"{peer} answered with no setting: {tried[-1]}")
        first = sorted(found, key=lambda one: -one["good_per_s"])[:3]
        medians = []
        for one in first:
            again = [] if pace.quick else attempt(one["settings"], (n, n))
            tried += again
            rates = [one["good_per_s"], *(other.get("good_per_s", 0.0) for other in again)]
            medians.append((float(np.median(rates)), one["settings"]))
        best[str(n)] = max(medians, key=lambda pair: pair[0])[1]
    return {"tried": tried, "best": best, "versions": versions(peer)}


def agreement(
    servers: dict[str, Server],
    contenders: dict[tuple[str, int], tuple[str, str]],
    bodies: dict[str, list[bytes]],
) -> tuple[dict[str, float], dict[str, str]]:
    """The largest difference in energy from this service's, over all rows sent, by server; and who answers wrongly or
    not at all, with why: the speed of those means nothing."""
    found: dict[str, np.ndarray] = {}
    refused: dict[str, str] = {}
    for (key, _), (name, path) in contenders.items():
        if key == "echo":
            continue
        try:
            with awake(servers[name]) as server:
                energies = [_energy(server, path, body) for body in _body(key, bodies)]
            found[f"{key}, {name}"] = np.array(energies)
        except RuntimeError as error:
            refused[key] = str(error)
    expected = found["service, service"]
    differences = {key: float(np.abs(energy - expected).max()) for key, energy in found.items()}
    for key, difference in differences.items():
        if not difference <= 1e-3 * max(1.0, float(np.abs(expected).max())):
            refused[key.split(",")[0]] = f"other energies: they differ by {difference}"
    return differences, refused


def _energy(server: Server, path: str, body: bytes) -> float:
    status, answer = server.request("POST", path, body)
    if status != 200:
        raise RuntimeError(f"POST {path} answers {status}: {answer[:80]!r}")
    document = orjson.loads(answer)
    if "outputs" in document:
        return next(one["data"][0] for one in document["outputs"] if one["name"] == "energy")
    return document["energy"][0]


def _rounds(
    servers: dict[str, Server],
    contenders: dict[tuple[str, int], tuple[str, str]],
    bodies: dict[str, list[bytes]],
    pace: Pace,
) -> dict[str, list[dict[str, float]]]:
    rounds: dict[str, list[dict[str, float]]] = {f"{key} @{n}": [] for key, n in contenders}
    for turn in range(pace.rounds):
        # Forwards, then backwards: what drifts in the machine falls on all alike.
        for (key, n), (name, path) in list(contenders.items())[:: 1 if turn % 2 == 0 else -1]:
            with awake(servers[name]) as server:
                job = _job(server.port, path, _body(key, bodies), n, pace.seconds, pace)
                rounds[f"{key} @{n}"].append(measure(server, job)[1])
        print(f"  single row: round {turn + 1} of {pace.rounds}", flush=True)
    return rounds


def _body(key: str, bodies: dict[str, list[bytes]]) -> list[bytes]:
    return bodies["v2" if key in ("service v2", "mlserver") else "instances"]


def _job(port: int, path: str, bodies: list[bytes], connections: int, seconds: float, pace: Pace) -> Job:
    requests = [http(path, body) for body in bodies]
    return Job(port, requests, connections=connections, seconds=seconds, warmup_s=pace.warmup_s)


def _rows(rounds: dict[str, list[dict[str, float]]], swept: dict[str, Any]) -> list[dict[str, Any]]:
    out = []
    for n in CONNECTIONS[::-1]:
        ours = rounds[f"service @{n}"]
        for key, title in TITLES.items():
            if f"{key} @{n}" not in rounds:
                continue
            theirs = rounds[f"{key} @{n}"]
            rate, p99 = median(theirs, "good_per_s"), median(theirs, "good_p99_ms")
            said = f"{rate:,.0f}/s, p99 {p99:.2f} ms"
            target, met = "", None
            if not key.startswith("service"):
                against = ratio(ours, theirs)
                said += f"; /v1 score is {spread(against)} times it"
                if n == 32 and key in TARGETS:
                    target = f"service at least {TARGETS[key]:g} times it"
                    met = against["median"] >= TARGETS[key]
            failed = sum(map(failures, theirs))
            said += f"; {failed} FAILED" if failed else ""
            settings = swept.get(key, {}).get("best", {}).get(str(n))
            out.append(row(target, said, met, f"single row, {n} connections: {title}", settings=settings))
    return out + [
        row("measured", one["error"], False, f"single row: {TITLES[peer]}")
        for peer, one in swept.items()
        if "error" in one
    ]
