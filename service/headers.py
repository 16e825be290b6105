"""Headers that make a browser stricter, and CORS where it is asked for."""

from __future__ import annotations

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from service.settings import Settings

# On every answer: nothing is to be taken for another media type than it says.
ALWAYS = [(b"x-content-type-options", b"nosniff")]
# The page talks to its own server only, and the browser enforces it.
PAGE = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'self'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-cache",
}
ALLOWED = [
    "Accept",
    "Authorization",
    "Content-Encoding",
    "Content-Type",
    "Idempotency-Key",
    "Inference-Header-Content-Length",
    "Last-Event-ID",
    "Range",
    "X-API-Key",
    "X-Request-ID",
    "X-Timeout-Seconds",
]
EXPOSED = [
    "Accept-Ranges",
    "Content-Disposition",
    "Content-Range",
    "Idempotency-Replayed",
    "Inference-Header-Content-Length",
    "Location",
    "Retry-After",
    "X-Request-ID",
]


def install(app: ASGIApp, settings: Settings) -> ASGIApp:
    """`app`, which pages of the configured origins may call; without any, CORS stays off."""
    if settings.cors_origins:
        return CORSMiddleware(
            app,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=ALLOWED,
            expose_headers=EXPOSED,
            max_age=3600,
        )
    return app
