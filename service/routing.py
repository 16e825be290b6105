"""From a path to an endpoint, without FastAPI's dependency injection: measured, that costs more than a score.

FastAPI documents the routes, and answers what is not found here. A `DirectRoute` holds an endpoint of the form
`endpoint(request, **path_params) -> Response`; `Direct`, in front of FastAPI, finds it by one
dictionary lookup and runs it. Both ways end in `DirectRoute.answer`, so that keys and limits hold on either.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as ASGIScope

from service import errors

if TYPE_CHECKING:
    from service.auth import Auth
    from service.bodies.budget import Budget
    from service.drift import Drift
    from service.engine import Engine
    from service.jobs_http import JobAccess
    from service.registry import Registry
    from service.settings import Settings
    from service.telemetry import Metrics

# any: a known key, whatever its scopes; the endpoint looks at them itself.
Scope = Literal["score", "generate", "admin", "any"]
BLANK = "{}"


@dataclass(frozen=True)
class Services:
    """The parts of the running server, for the routes; `jobs` None: it runs none."""

    settings: Settings
    registry: Registry
    engine: Engine
    metrics: Metrics
    auth: Auth
    drift: Drift
    budget: Budget
    jobs: JobAccess | None = None


def services(request: Request) -> Services:
    """The parts of the server that answers this request."""
    return request.scope["services"]


class DirectRoute(APIRoute):
    """A route whose endpoint takes the request and the path's parameters, and nothing else."""

    needs: ClassVar[Scope | None] = None

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        return self.answer

    async def answer(self, request: Request) -> Response:
        """Raises a Problem: 401, 403, 429 where keys or rates are configured; and what the endpoint raises."""
        if self.needs is not None:
            services(request).auth.check(request, None if self.needs == "any" else self.needs)
        try:
            return await self.endpoint(request, **request.path_params)
        finally:
            if "held_bytes" in request.scope:
                services(request).budget.give_back(request)


class _Score(DirectRoute):
    needs = "score"


class _Generate(DirectRoute):
    needs = "generate"


class _Admin(DirectRoute):
    needs = "admin"


class _Any(DirectRoute):
    needs = "any"


_CLASSES: dict[Scope | None, type[DirectRoute]] = {
    None: DirectRoute,
    "score": _Score,
    "generate": _Generate,
    "admin": _Admin,
    "any": _Any,
}


def scoped(scope: Scope | None) -> type[DirectRoute]:
    """The class of routes that need an API key of this scope, where keys are configured; None: open to all."""
    return _CLASSES[scope]


def versioned(router: APIRouter, operation: str, **options: Any) -> Callable[[Any], Any]:
    """Decorator: POST /models/{name}/<operation>, and the same of one version."""

    def register(endpoint: Any) -> Any:
        for path in (f"/models/{{name}}/{operation}", f"/models/{{name}}/versions/{{version}}/{operation}"):
            router.add_api_route(path, endpoint, methods=["POST"], **options)
        return endpoint

    return register


class Direct:
    """ASGI middleware: runs a `DirectRoute` whose path fits, and leaves the rest to `app`."""

    def __init__(self, app: ASGIApp, routes: Iterable[DirectRoute]):
        self.app = app
        # By method and the path with its parameters blanked out: POST /v1/models/{}/score.
        self._shapes: dict[int, list[tuple[int, ...]]] = {}
        self._routes: dict[tuple[str, ...], tuple[DirectRoute, tuple[tuple[int, str], ...]]] = {}
        self._methods: dict[tuple[str, ...], set[str]] = {}
        for route in routes:
            parts = route.path.split("/")
            names = tuple((i, part[1:-1]) for i, part in enumerate(parts) if part.startswith("{"))
            blanks = tuple(i for i, _ in names)
            shapes = self._shapes.setdefault(len(parts), [])
            if blanks not in shapes:
                shapes.append(blanks)
                shapes.sort(key=len)  # the more literal path wins
            for i in blanks:
                parts[i] = BLANK
            for method in route.methods or ():
                self._routes[(method, *parts)] = route, names
                self._methods.setdefault(tuple(parts), set()).add(method)

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        found = self._find(scope) if scope["type"] == "http" else None
        if found is None:
            allowed = self._allowed(scope) if scope["type"] == "http" else None
            if allowed is None:
                await self.app(scope, receive, send)
                return
            error = HTTPException(405, headers={"Allow": ", ".join(sorted(allowed))})
            await errors.render(error, scope["path"], scope.get("request_id"))(scope, receive, send)
            return
        route, scope["path_params"] = found
        scope["route"] = route
        try:
            response = await route.answer(Request(scope, receive, send))
        except errors.KNOWN as error:
            response = errors.render(error, scope["path"], scope.get("request_id"))
        await response(scope, receive, send)

    def _find(self, scope: ASGIScope) -> tuple[DirectRoute, dict[str, str]] | None:
        parts = scope["path"].split("/")
        for blanks in self._shapes.get(len(parts), ()):
            key = [scope["method"], *parts]
            for i in blanks:
                key[i + 1] = BLANK
            found = self._routes.get(tuple(key))
            if found is not None:
                params = {name: parts[i] for i, name in found[1]}
                if all(params.values()):
                    return found[0], params
        return None

    def _allowed(self, scope: ASGIScope) -> set[str] | None:
        """The methods of the most literal path that fits: FastAPI would name those of the first."""
        parts = scope["path"].split("/")
        for blanks in self._shapes.get(len(parts), ()):
            key = list(parts)
            for i in blanks:
                key[i] = BLANK
            if tuple(key) in self._methods and all(parts[i] for i in blanks):
                return self._methods[tuple(key)]
        return None
