"""What drivers of URLs raise, as one line that names the place and shows no credentials."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from ebm.data.streams.place import one_line, without_credentials
from ebm.errors import BadInput


@contextmanager
def named(url: str, package: str) -> Iterator[None]:
    """Whatever a driver raises, as BadInput.

    Args:
        package: what to install where the driver is missing.
    """
    try:
        yield
    except BadInput:
        raise
    except ImportError:
        scheme = url.partition("://")[0]
        raise BadInput(
            f"{without_credentials(url)}: {scheme}:// needs another package: pip install {package}"
        ) from None
    except Exception as error:  # drivers have exceptions of their own, by the dozen
        raise BadInput(f"{without_credentials(url)}: {_reason(error, url)}") from None


def _reason(error: BaseException, url: str) -> str:
    cause = error.__cause__
    status = getattr(cause, "status", None) or getattr(error, "status", None)
    if status:
        return f"the server answers {status}"
    if isinstance(error, FileNotFoundError):
        # fsspec says so of a server that is not there, too.
        return (
            "no such file" if cause is None or isinstance(cause, FileNotFoundError) else _scrubbed(cause, url)
        )
    if isinstance(error, PermissionError):
        return "access is refused"
    return _scrubbed(error, url)


def _scrubbed(error: BaseException, url: str) -> str:
    """One line of the error; any URL in it without what may be a secret."""
    text = one_line(str(error).replace(url, without_credentials(url)))
    text = re.sub(r"\w+://\S+", lambda found: without_credentials(found[0]), text)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
