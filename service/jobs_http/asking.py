"""From what a client asks to a submission that may run: every reason to refuse it that is known without the rows."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any

from starlette.requests import Request

from ebm.data.streams.image_source import is_picture
from ebm.data.streams.open import KINDS, OTHERS, TABLES
from ebm.errors import BadInput, EBMError
from service.api_keys import Scope
from service.auth import may, require
from service.bodies.media import header
from service.bodies.options import read_options
from service.errors import Problem
from service.jobs.job import Submission
from service.jobs.options import check_options
from service.jobs.places import RESULTS, check_suffix
from service.jobs_http.access import JobAccess
from service.jobs_http.names import safe_name, stem_of
from service.routing import services
from service.schemas.jobs import JobRequest
from service.work import find

SCOPES: dict[str, Scope] = {"score": "score", "denoise": "generate", "generate": "generate", "train": "admin"}
MADE = {"score": "scored", "denoise": "denoised"}
MODEL_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
KEY = re.compile(r"[\x21-\x7e]{1,200}")


def idempotency_key(request: Request) -> str | None:
    """Raises BadInput for one that is empty, too long, or not of visible ASCII."""
    key = header(request, b"idempotency-key")
    if key is not None and not KEY.fullmatch(key):
        raise BadInput("Idempotency-Key: 1 to 200 visible ASCII characters")
    return key


async def submission_of(
    request: Request, access: JobAccess, document: dict[str, Any], upload: str | None
) -> Submission:
    """What the document of a request asks for, checked.

    Args:
        upload: where the file that comes with it will be.

    Raises:
        Problem: 403 for a kind that the key may not ask for; 404 or 503 for the model.
        BadInput, Unsupported: names the field at fault.
    """
    asked = read_options(document, {}, JobRequest)
    require(request, SCOPES[asked.kind])
    try:
        check_options(asked.kind, asked.options)
    except BadInput as error:
        # The kind tells which options there are, and is no key that the client wrote.
        raise BadInput(str(error).replace(f"options: {asked.kind}.", "options: ", 1)) from None
    if asked.options.get("fpr") is not None and asked.options.get("fdr") is not None:
        raise BadInput("options: give fpr or fdr, not both")
    version, image = await _model(request, asked)
    tell = may(request, "admin")
    if asked.input is not None and upload is not None:
        raise BadInput("input: there is a file, too; give one of them")
    if asked.kind == "generate" and (asked.input is not None or upload is not None):
        raise BadInput("input: none goes with a job that generates")
    source = upload
    if upload is not None and asked.kind in ("score", "denoise") and not _readable(upload):
        raise BadInput(f"file: {PurePosixPath(upload).name}: unknown kind of file; expected {KINDS}")
    if asked.input is not None:
        source = await access.call(access.roots.input, asked.input, tell=tell)
    elif upload is None and asked.kind in ("score", "denoise"):
        raise BadInput("input: missing; give a path, a URL or a file")
    options = asked.options
    if asked.kind == "train":
        options = await _training(access, asked, source, tell)
    return Submission(
        kind=asked.kind,
        model=asked.model,
        version=version,
        input=source,
        output=await _output(request, access, asked, source, image, tell),
        options=options,
        engine=asked.engine,
        owner=request.scope.get("api_key"),
    )


def _readable(name: str) -> bool:
    """Whether rows are read from files of such names: else it need not be sent."""
    last = PurePosixPath(name).name.lower()
    tables = any(re.search(pattern, last) for pattern, _ in [*TABLES.values(), *OTHERS])
    return tables or last.endswith(".zip") or is_picture(last)


async def _model(request: Request, asked: JobRequest) -> tuple[str | None, bool]:
    """The version, and whether it takes images."""
    registry = services(request).registry
    if asked.kind != "train":
        try:
            if asked.kind == "score":  # which all models can; those that are not in memory stay out of it
                slot = registry.find(asked.model, asked.version)
                return slot.key[1], False
            loaded = await find(request, asked.model, asked.version, needs=asked.kind)
        except (Problem, EBMError) as error:
            raise _about("model", error) from None
        return loaded.version, loaded.detector.kind == "image"
    for field, name in (("model", asked.model), ("version", asked.version)):
        if name is not None and not MODEL_NAME.fullmatch(name):
            raise BadInput(f"{field}: {name!r}: small letters, digits, dots, - and _ only, 64 at most")
    return asked.version, False


def _about(field: str, error: Problem | EBMError) -> Problem | EBMError:
    """The same error, saying which field it is about."""
    if isinstance(error, Problem):
        members = {**error.members, "field": field}
        return Problem(error.status, error.slug, error.detail, headers=error.headers, **members)
    return type(error)(f"{field}: {error}")


async def _training(access: JobAccess, asked: JobRequest, source: str | None, tell: bool) -> dict[str, Any]:
    """The options with the files that a configuration names as the worker is to open them.

    Raises:
        BadInput: also where a model of that name and version would be there already.
    """
    config = asked.options.get("config")
    if config is None:
        if source is None:
            raise BadInput("input: missing; give a path, a URL or a file")
        return asked.options
    if config.get("name", asked.model) != asked.model:
        raise BadInput(f"options.config.name: {config['name']!r}, but the job's model is {asked.model!r}")
    data = config.get("data", {})
    if not isinstance(data, dict):
        raise BadInput("options.config.data: Input should be an object")
    found = {}
    for name in ("path", "labels_path"):
        place = data.get(name)
        if place is not None and not (name == "path" and source is not None):
            field = f"options.config.data.{name}"
            if not isinstance(place, str):
                raise BadInput(f"{field}: Input should be a valid string")
            found[name] = await access.call(access.roots.input, place, field, tell=tell)
    if source is None and "path" not in found and data.get("kind", "file") not in ("builtin", "toy"):
        raise BadInput("input: missing, and options.config.data names no path")
    return {**asked.options, "config": {**config, "data": {**data, **found}}} if found else asked.options


async def _output(
    request: Request, access: JobAccess, asked: JobRequest, source: str | None, image: bool, tell: bool
) -> str:
    if asked.kind == "train":
        if asked.output is not None:
            raise BadInput("output: a training job publishes a model, and takes none")
        return f"{services(request).settings.models_dir}/{asked.model}"
    given = asked.output
    if given is not None and ("/" in given or "\\" in given):
        return await access.call(access.roots.output, given, tell=tell)
    if given is not None:
        if given != safe_name(given):
            raise BadInput("output: a bare name has letters, digits, spaces and .-_ only, and 100 at most")
        check_suffix(given)
    suffix = ".npy" if image and asked.kind in ("denoise", "generate") else ".parquet"
    name = given or (f"{stem_of(source)}.{MADE[asked.kind]}{suffix}" if source else f"samples{suffix}")
    # The store puts the job's id in the place of {job}.
    return f"{access.data_dir}/{RESULTS}/{{job}}/{name}"
