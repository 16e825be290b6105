"""Jobs: submit, list, look, follow, fetch, stop."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from service.answers import json_answer
from service.bodies import JSON, MULTIPART, read_body, read_document
from service.bodies.media import media_type
from service.bodies.options import query_of, read_options
from service.errors import Problem
from service.jobs_http import openapi
from service.jobs_http.access import jobs_of, owner_of
from service.jobs_http.asking import idempotency_key, submission_of
from service.jobs_http.following import follow
from service.jobs_http.results import NO_REJECTS, Download, part_of, rejects_of, require_result, result_of
from service.jobs_http.showing import shown
from service.jobs_http.upload import Upload, receive_form, remove
from service.openapi import binary
from service.routing import scoped, services
from service.schemas.jobs import JobAnswer, JobList, JobQuery, ResultParts
from service.schemas.problems import problems

router = APIRouter(prefix="/v1", tags=["jobs"], route_class=scoped("any"))


@router.post(
    "/jobs",
    status_code=202,
    response_model=JobAnswer,
    responses=openapi.SUBMITTED | problems(403, 404, 409, 413, 415, 422, 429, 503, 507),
    openapi_extra=openapi.SUBMIT,
)
async def submit(request: Request) -> Response:
    """A job on a file that the server can reach, or with `multipart/form-data` on one that is uploaded: the part `job`
    is the JSON document, the part `file`, after it, the file. The scope that is needed is `score` for score,
    `generate` for denoise and generate, `admin` for train."""
    access, settings = jobs_of(request), services(request).settings
    key = idempotency_key(request)
    media, parameters = media_type(request, (JSON, MULTIPART))
    submission: list[Any] = []

    async def check(document: bytes, place: str | None) -> None:
        submission.append(await submission_of(request, access, read_document(document), place))

    upload: Upload | None = None
    if media == MULTIPART:
        if (request.headers.get("content-encoding") or "identity") != "identity":
            detail = "Content-Encoding: a form is sent as it is; the file in it may be compressed"
            raise Problem(415, "unsupported-content-encoding", detail)
        boundary = parameters.get("boundary", "")
        upload = await receive_form(request, boundary, access.data_dir, settings.max_upload_bytes, check)
    else:
        body = await read_body(request, settings.max_body_bytes, settings.max_decompressed_bytes)
        await check(body, None)
    try:
        job, new = await access.call(access.store.submit, submission[0], key)
    except Problem as problem:
        # Where the database did not answer, it may have the job all the same.
        if upload is not None and problem.status != 503:
            await remove(upload)
        raise
    if upload is not None and not new:
        await remove(upload)
    answer = json_answer(shown(job, access.data_dir))
    answer.status_code = 202 if new else 200
    answer.headers["Location"] = f"/v1/jobs/{job.id}"
    if not new:
        answer.headers["Idempotency-Replayed"] = "true"
    return answer


@router.get(
    "/jobs",
    response_model=JobList,
    responses=problems(422, 503),
    openapi_extra={"parameters": openapi.query(JobQuery)},
)
async def list_jobs(request: Request) -> Response:
    """The jobs of the API key, the newest first; of all keys for administrators."""
    access = jobs_of(request)
    asked = read_options({}, query_of(request), JobQuery)
    found = await access.call(
        access.store.list,
        owner_of(request),
        kind=asked.kind,
        state=asked.state,
        limit=asked.limit + 1,  # one more tells whether there are more
        offset=asked.offset,
    )
    jobs = [shown(job, access.data_dir) for job in found[: asked.limit]]
    return json_answer({"jobs": jobs, "more": len(found) > asked.limit})


@router.get("/jobs/{job_id}", response_model=JobAnswer, responses=problems(404, 503))
async def show_job(request: Request, job_id: str) -> Response:
    """Its state, how far it is, and what it found or why it failed."""
    access = jobs_of(request)
    job = await access.call(access.store.get, job_id, owner_of(request))
    return json_answer(shown(job, access.data_dir))


@router.delete("/jobs/{job_id}", response_model=JobAnswer, responses=problems(404, 503))
async def cancel_job(request: Request, job_id: str) -> Response:
    """Stop it within a chunk or a training step; what has ended stays as it is."""
    access = jobs_of(request)
    job = await access.call(access.store.cancel, job_id, owner_of(request))
    return json_answer(shown(job, access.data_dir))


@router.get(
    "/jobs/{job_id}/events",
    response_class=Response,
    responses={200: {"content": openapi.EVENT_STREAM}, **problems(404, 429, 503)},
)
async def job_events(request: Request, job_id: str) -> Response:
    """Server-sent events: `progress` as it changes, at the end `done` with the job."""
    access = jobs_of(request)
    return await follow(request, access, job_id)


@router.get(
    "/jobs/{job_id}/result",
    response_class=Response,
    responses={
        200: {"model": ResultParts, "content": binary(*openapi.DOWNLOADS)},
        206: {"description": "The Range asked for", "content": binary(*openapi.DOWNLOADS)},
        **problems(404, 409, 410, 416, 503),
    },
    openapi_extra={"parameters": [openapi.RANGE]},
)
async def job_result(request: Request, job_id: str) -> Response:
    """The file that the job wrote. JSON where it is a folder, with its parts, where it lies behind a URL, and of train,
    which published a model."""
    access = jobs_of(request)
    job = await access.call(access.store.get, job_id, owner_of(request))
    require_result(job)
    if job.kind == "train":
        version = (job.summary or {}).get("version") or job.version
        path = f"/v1/models/{job.model}" + (f"/versions/{version}" if version else "")
        return json_answer(ResultParts(model=path).model_dump())
    found = await access.call(result_of, job)
    if found is None:
        return json_answer(ResultParts(output=job.output).model_dump())
    if isinstance(found, list):
        output = shown(job, access.data_dir)["output"]
        return json_answer(ResultParts(output=output, parts=found).model_dump())
    return Download(found)


@router.get(
    "/jobs/{job_id}/result/{part}",
    response_class=Response,
    responses={
        200: {"content": binary(*openapi.DOWNLOADS)},
        206: {"description": "The Range asked for", "content": binary(*openapi.DOWNLOADS)},
        **problems(404, 409, 410, 416, 503),
    },
    openapi_extra={"parameters": [openapi.RANGE]},
)
async def job_result_part(request: Request, job_id: str, part: str) -> Response:
    """One file of a result that is a folder."""
    access = jobs_of(request)
    job = await access.call(access.store.get, job_id, owner_of(request))
    require_result(job)
    return Download(await access.call(part_of, job, part))


@router.get(
    "/jobs/{job_id}/rejects",
    response_class=Response,
    responses={200: {"content": binary("text/csv")}, **problems(404, 409, 410, 416, 503)},
)
async def job_rejects(request: Request, job_id: str) -> Response:
    """The rows that could not be used, as CSV: number, column and reason."""
    access = jobs_of(request)
    job = await access.call(access.store.get, job_id, owner_of(request))
    require_result(job)
    if job.kind == "train":
        raise Problem(404, "not-found", "a training job has no rejects")
    found = await access.call(rejects_of, job)
    return Download(found) if found else Response(NO_REJECTS, media_type="text/csv")
