"""The limit: Starlette reads the body and returns it. Run: uvicorn echo_app:app --loop uvloop --http httptools."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


async def echo(request: Request) -> Response:
    return Response(await request.body(), media_type="application/json")


async def ready(request: Request) -> Response:  # noqa: ARG001
    return Response(b"{}", media_type="application/json")


app = Starlette(routes=[Route("/echo", echo, methods=["POST"]), Route("/ready", ready)])
