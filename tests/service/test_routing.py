"""From a path to its endpoint: the same with and without FastAPI's router."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from service.app import ROUTERS
from service.routing import Direct, DirectRoute, scoped, versioned

router = APIRouter(prefix="/v9", route_class=scoped(None))


@router.get("/models/{name}")
async def show(request: Request, name: str) -> Response:  # noqa: ARG001
    return PlainTextResponse(f"show {name}")


@router.get("/models/all")
async def everything(request: Request) -> Response:  # noqa: ARG001
    return PlainTextResponse("everything")


@versioned(router, "score", response_class=Response)
async def score(request: Request, name: str, version: str | None = None) -> Response:  # noqa: ARG001
    return PlainTextResponse(f"score {name} {version}")


async def behind(scope: Any, receive: Any, send: Any) -> None:
    await PlainTextResponse("behind", 404)(scope, receive, send)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/v9/models/a", "show a"),
        ("GET", "/v9/models/all", "everything"),
        ("POST", "/v9/models/a/score", "score a None"),
        ("POST", "/v9/models/a/versions/2/score", "score a 2"),
        ("GET", "/v9/models/", "behind"),
        ("GET", "/v9/models", "behind"),
        ("POST", "/v9/models//score", "behind"),
        ("POST", "/v9/models/a/versions/2/score/", "behind"),
    ],
)
async def test_a_path_finds_its_endpoint(method: str, path: str, expected: str) -> None:
    app = Direct(behind, [route for route in router.routes if isinstance(route, DirectRoute)])
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": [], "services": None}
    await app(scope, None, send)  # type: ignore[arg-type]
    assert sent[1]["body"].decode() == expected


@pytest.mark.anyio
async def test_another_method_is_told_which_there_are() -> None:
    app = Direct(behind, [route for route in router.routes if isinstance(route, DirectRoute)])
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/v9/models/a/score", "headers": [], "services": None}
    await app(scope, None, send)  # type: ignore[arg-type]
    assert sent[0]["status"] == 405 and (b"allow", b"POST") in sent[0]["headers"]


def test_every_route_of_the_api_says_what_it_needs() -> None:
    routes = [route for one in ROUTERS for route in one.routes]
    assert all(isinstance(route, DirectRoute) for route in routes)
    open_to_all = {route.path for route in routes if route.needs is None}
    assert open_to_all == {"/healthz", "/readyz", "/metrics", "/v2/health/live", "/v2/health/ready"}
    admin = {route.path for route in routes if route.needs == "admin"}
    assert admin == {
        "/v1/models/reload",
        "/v2/repository/models/{name}/load",
        "/v2/repository/models/{name}/unload",
    }
    generate = {route.path.rsplit("/", 1)[1] for route in routes if route.needs == "generate"}
    assert generate == {"denoise", "generate", "impute"}
