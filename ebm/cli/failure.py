"""Every failure as one line on stderr and an exit code, in one place."""

from __future__ import annotations

import errno
from typing import Any

import typer
from typer.core import TyperGroup

from ebm.errors import BadArtifact, BadConfig, BadInput, EBMError, Unsupported

FAILED, BAD_USE, INTERRUPTED = 1, 2, 130


class Commands(TyperGroup):
    """The root group: catches what its commands raise.

    2: what the caller gave cannot be used (data, configuration, model folder, or a request the model
    cannot serve). 1: everything else that failed. 130: interrupted.
    """

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            fail("interrupted", INTERRUPTED)
        except Exception as error:
            # typer's own usage errors and exits carry an exit code; a closed pipe is no failure of ours.
            own = hasattr(error, "exit_code") or isinstance(error, typer.Abort)
            if own or getattr(error, "errno", None) == errno.EPIPE or (ctx.obj or {}).get("traceback"):
                raise
            fail(*describe(error))


def describe(error: Exception) -> tuple[str, int]:
    """The line to show for `error`, and the exit code."""
    if isinstance(error, (BadInput, BadConfig, BadArtifact, Unsupported, FileNotFoundError)):
        return str(error), BAD_USE
    if isinstance(error, (EBMError, OSError)):
        return str(error), FAILED
    if isinstance(error, MemoryError):
        return "not enough memory", FAILED
    return f"internal error: {type(error).__name__}: {error} (ebm --traceback ... shows where)", FAILED


def fail(message: str, code: int) -> None:
    """Print `message` as one line on stderr and leave with `code`."""
    typer.secho(f"error: {' '.join(message.split())}", err=True, fg="red")
    raise typer.Exit(code)
