"""API keys, their scopes, and how often each may ask."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import math
import time
from typing import TYPE_CHECKING

import structlog
from starlette.requests import Request

from ebm.errors import BadConfig
from service.api_keys import ApiKey, Scope, read_keys
from service.errors import Problem

if TYPE_CHECKING:
    from limits import RateLimitItem

    from service.settings import Settings

log = structlog.get_logger("service.auth")
STORAGE_TIMEOUT_S = 0.25
STORAGE_PAUSE_S = 5.0


class RateLimited(Problem):
    """The key, or the address, asked more often than it may: 429 with the time until the next request is allowed."""

    def __init__(self, rate: RateLimitItem, wait_s: float):
        super().__init__(
            429,
            "rate-limited",
            f"more than {rate} requests",
            headers={"Retry-After": str(max(1, math.ceil(wait_s)))},
        )


class Rates:
    """Counts requests in a moving window.

    A storage that does not answer lets requests through, and is left alone for some seconds: an outage of what only
    counts must not be one of the service.

    Raises:
        BadConfig: the storage is of no known kind, or its client library is missing.
    """

    def __init__(self, uri: str):
        from limits.errors import ConfigurationError, StorageError
        from limits.storage import storage_from_string
        from limits.strategies import MovingWindowRateLimiter

        remote = not uri.startswith("memory://")
        options = {"socket_timeout": STORAGE_TIMEOUT_S, "socket_connect_timeout": STORAGE_TIMEOUT_S}
        try:
            storage = storage_from_string(uri, wrap_exceptions=True, **(options if remote else {}))
            self._window = MovingWindowRateLimiter(storage)
        except (ConfigurationError, NotImplementedError, ValueError, StorageError) as error:
            scheme = uri.split(":", 1)[0]
            reason = " ".join(str(error).replace(uri, scheme).split())  # the address may hold a password
            raise BadConfig(f"EBM_RATE_STORAGE: {scheme}: {reason}") from None
        self._failure, self._paused_until = StorageError, 0.0

    def check(self, rate: RateLimitItem, who: str) -> None:
        """Count one request of `who`.

        Raises:
            RateLimited: it is one too many.
        """
        if self._paused_until and time.monotonic() < self._paused_until:
            return
        try:
            if self._window.hit(rate, who):
                return
            free_at = self._window.get_window_stats(rate, who).reset_time
        except self._failure as error:
            self._paused_until = time.monotonic() + STORAGE_PAUSE_S
            log.warning("rate_storage_failed", reason=str(error))
            return
        raise RateLimited(rate, free_at - time.time())


class Auth:
    """Decides about each request. Open to all where neither keys nor a rate are configured."""

    def __init__(
        self,
        keys: list[ApiKey] | tuple[ApiKey, ...] = (),
        anonymous_rate: str | None = None,
        rate_storage: str = "memory://",
    ):
        import limits

        names = [key.name for key in keys]
        for name in names:
            if names.count(name) > 1:
                raise BadConfig(f"API keys: the name {name!r} is given twice")
        self._keys = [(bytes.fromhex(key.sha256), key) for key in keys]
        self._rates = {key.name: limits.parse(key.rate) for key in keys if key.rate is not None}
        self._anonymous = limits.parse(anonymous_rate) if anonymous_rate else None
        self._window = Rates(rate_storage) if self._rates or self._anonymous else None
        self.active = bool(keys) or self._anonymous is not None

    @classmethod
    def of(cls, settings: Settings) -> Auth:
        """Of the keys in the file and in the environment.

        Raises:
            BadConfig: the file cannot be read, a name is given twice, or the rate storage is unusable.
        """
        keys = [*(read_keys(settings.api_keys_file) if settings.api_keys_file else []), *settings.api_keys]
        if settings.api_keys_file and not keys:
            # Open to all is surely not what the owner of a file of keys wants.
            raise BadConfig(f"{settings.api_keys_file}: holds no keys")
        return cls(keys, settings.anonymous_rate, settings.rate_storage)

    def check(self, request: Request, scope: Scope | None) -> None:
        """Let a request pass that needs `scope`, or any key where it is None; the key's name is put where the log finds
        it, and its scopes for `may`.

        Raises:
            Problem: 401 without a known key, 403 where the key lacks the scope, 429 over the rate.
        """
        if not self.active:
            return
        if not self._keys:
            if self._anonymous is not None and self._window is not None:
                self._window.check(self._anonymous, f"address {address_of(request)}")
            return
        key = self._find(_presented(request))
        request.scope["api_key"], request.scope["api_scopes"] = key.name, key.scopes
        if scope is not None:
            require(request, scope)
        rate = self._rates.get(key.name)
        if rate is not None and self._window is not None:
            self._window.check(rate, f"key {key.name}")

    def _find(self, presented: bytes | None) -> ApiKey:
        if presented is None:
            raise _unauthorized("an API key is needed, in the header X-API-Key")
        digest = hashlib.sha256(presented).digest()
        found = None
        for known, key in self._keys:
            # All of them, always: the time tells nothing about which key was near.
            if hmac.compare_digest(known, digest):
                found = key
        if found is None:
            raise _unauthorized("unknown API key")
        return found


def may(request: Request, scope: Scope) -> bool:
    """Whether the key of a request that was let in has `scope`; all may do all where no keys are configured."""
    scopes = request.scope.get("api_scopes")
    return scopes is None or scope in scopes or "admin" in scopes


def require(request: Request, scope: Scope) -> None:
    """Raises a Problem, 403, where the key of a request that was let in lacks `scope`."""
    if not may(request, scope):
        name = request.scope["api_key"]
        raise Problem(403, "missing-scope", f"the API key {name!r} lacks the scope {scope!r}", scope=scope)


def _unauthorized(detail: str) -> Problem:
    return Problem(401, "unauthorized", detail, headers={"WWW-Authenticate": 'Bearer realm="ebm"'})


def _presented(request: Request) -> bytes | None:
    bearer = None
    for name, value in request.scope["headers"]:
        if name == b"x-api-key":
            return value
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            bearer = value[7:].strip()
    return bearer


def address_of(request: Request) -> str:
    """The client's address as rates count it: of IPv6 the /64, which is what one customer is given."""
    client = request.scope.get("client")
    host = client[0] if client else "unknown"
    if ":" not in host:
        return host
    try:
        address = ipaddress.IPv6Address(host.split("%")[0])
    except ValueError:
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address, 64), strict=False))
