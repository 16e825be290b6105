"""Operations that make rows or pictures: denoise, impute, generate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import orjson
from httpx_sse import ServerSentEvent

from ebm.client.calls import EVENTS, JSON, NPY, Call, Steps, document_of, given, model_path, post
from ebm.client.forms import form_of
from ebm.client.parts import in_parts
from ebm.client.rows import Picture, Rows, decode_npy


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


def denoise(
    model: str,
    rows: Any,
    *,
    sigma: float | None = None,
    n_steps: int | None = None,
    version: str | None = None,
    resize: bool | None = None,
) -> Steps[Any]:
    """The likely clean version of each row, in the form that the rows have: an array for an array, a frame for a frame,
    a PIL image for one, PNG bytes for bytes or a path, and a list for a list.

    More rows than the server takes at once are sent in parts.

    Args:
        rows: as `score` takes them.
        sigma: sd of the noise in preprocessed units (pictures: of a range of [-1, 1]; tables: of z-scores); estimated
            where not given.
        n_steps: 1, the posterior mean; more: a sharper answer.

    Raises:
        BadRequest: rows that do not fit, or a model that cannot denoise.
    """
    params = given({"sigma": sigma, "n_steps": n_steps, "resize": resize})
    return (yield from _restored(model, "denoise", rows, params, version, "denoised", "max_denoise_rows"))


def _restored(
    model: str,
    operation: str,
    rows: Any,
    params: Mapping[str, Any],
    version: str | None,
    field: str,
    limit: str,
) -> Steps[Any]:
    if isinstance(rows, list) and rows and isinstance(rows[0], Picture):
        one_by_one = []
        for picture in rows:
            one_by_one.append(
                (yield from _restored(model, operation, picture, params, version, field, limit))
            )
        return one_by_one
    form = form_of(rows, field)
    parts = yield from in_parts(
        model,
        operation,
        Rows.of(rows),
        form.read,
        version=version,
        limit=limit,
        params=params,
        accept=form.accept,
    )
    return form.join([part.value for part in parts])


def generate(
    model: str,
    n: int | None = None,
    *,
    seed: int | None = None,
    n_steps: int | None = None,
    step_size: float | None = None,
    keep_every: int | None = None,
    version: str | None = None,
) -> Steps[Generated]:
    """`n` new samples by Langevin dynamics; the same seed, version and device give the same samples.

    Raises:
        BadRequest: a model that cannot generate, or options out of range.
        LimitExceeded: more samples, steps or numbers than the server makes for one request.
    """
    document = {"n": n, "seed": seed, "n_steps": n_steps, "step_size": step_size, "keep_every": keep_every}
    call = post(model_path(model, version, "generate"), given(document), accept=f"{NPY}, {JSON};q=0.5")
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
    """One server-sent event of a generation: its name, and its data from JSON."""

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
    version: str | None = None,
) -> Call:
    """`generate`, with its progress as it comes: an iterator of events, the samples in the last one."""
    document = {"n": n, "seed": seed, "n_steps": n_steps, "step_size": step_size, "keep_every": keep_every}
    return post(model_path(model, version, "generate"), given(document), accept=EVENTS)


def event_of(sent: ServerSentEvent) -> Event:
    """An event as it arrived."""
    return Event(sent.event, orjson.loads(sent.data))
