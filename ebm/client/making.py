"""Operations that make new samples, as they are or with their making."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx
import orjson
from httpx_sse import ServerSentEvent

from ebm.client.calls import EVENTS, JSON, NPY, Call, Steps, document_of, given, model_path, post
from ebm.client.errors import problem_of
from ebm.client.rows import decode_npy


@dataclass(frozen=True, eq=False)
class Generated:
    """New samples in the units of the training data.

    samples: (n, ...), an array; lists of cells where they are not all numbers.
    snapshots: with keep_every, the samples' states on the way, (k, n, ...).
    """

    samples: Any
    snapshots: Any
    model: str
    version: str


def generate(
    model: str,
    n: int | None = None,
    *,
    seed: int | None = None,
    n_steps: int | None = None,
    step_size: float | None = None,
    keep_every: int | None = None,
    label: str | int | None = None,
    version: str | None = None,
) -> Steps[Generated]:
    """`n` new samples by Langevin dynamics; the same seed, version and device give the same samples.

    Args:
        n_steps: of a chain, or of each noise level of an annealed one.
        keep_every: keep the samples' states after every so many steps.
        label: of a joint model, the class to draw from.

    Raises:
        BadRequest: a model that cannot generate, or options out of range.
        LimitExceeded: more samples, steps or numbers than the server makes for one request.
    """
    asked = _asked(n, seed, n_steps, step_size, keep_every, label)
    call = post(model_path(model, version, "generate"), asked, accept=f"{NPY}, {JSON};q=0.5")
    return generated((yield call), bool(keep_every))


def generated(response: httpx.Response, with_snapshots: bool) -> Generated:
    """Samples from an answer in npy or JSON; a composition has the names of its models, with blanks between."""
    if response.headers["content-type"].startswith(NPY):
        values = decode_npy(response.content)
        samples, snapshots = (values[-1], values[:-1]) if with_snapshots else (values, None)
        return Generated(samples, snapshots, response.headers["x-model"], response.headers["x-model-version"])
    document = document_of(response)
    made_by = document["terms"] if "terms" in document else [document]
    model, version = (" ".join(one[field] for one in made_by) for field in ("model", "version"))
    return Generated(document["samples"], document["snapshots"], model, version)


@dataclass(frozen=True)
class Event:
    """One event of a generation under way.

    name: "progress", with data {step, n_total}; "snapshot", with {step, samples} or of pictures {step, png}, a data
    URI; at the end "done", with the answer: {samples, seed, model, version, ...}.
    """

    name: str
    data: dict[str, Any]


def stream(
    model: str,
    n: int | None = None,
    *,
    seed: int | None = None,
    n_steps: int | None = None,
    step_size: float | None = None,
    keep_every: int | None = None,
    label: str | int | None = None,
    version: str | None = None,
) -> Call:
    """`generate` with its progress as it comes: an iterator of `Event`, the samples in the last one.

    Raises:
        Problem: also on the way, where the generation fails after it began.
    """
    asked = _asked(n, seed, n_steps, step_size, keep_every, label)
    return post(model_path(model, version, "generate"), asked, accept=EVENTS)


def event_of(sent: ServerSentEvent) -> Event:
    """An event as it arrived.

    Raises:
        Problem: it says that the generation failed.
    """
    data = orjson.loads(sent.data)
    if sent.event == "error":
        raise problem_of(httpx.Response(data["status"], content=sent.data.encode()))
    return Event(sent.event, data)


def _asked(
    n: int | None,
    seed: int | None,
    n_steps: int | None,
    step_size: float | None,
    keep_every: int | None,
    label: str | int | None,
) -> dict[str, Any]:
    options = {"n": n, "seed": seed, "n_steps": n_steps, "step_size": step_size, "keep_every": keep_every}
    return given({**options, "class": label})
