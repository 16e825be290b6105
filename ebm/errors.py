"""The exceptions that `ebm` raises on purpose. Everything else is a bug."""


class EBMError(Exception):
    """Base of every error that names a culprit in one line, fit to be shown to a user."""


class BadInput(EBMError, ValueError):
    """Data that cannot be used; the message names the field, row or file at fault.

    Args:
        message: one line, naming the culprit.
        row: index of the first offending row, where one row is at fault.
        column: name or index of the offending column, where one is.
    """

    def __init__(self, message: str, *, row: int | None = None, column: str | int | None = None):
        super().__init__(message)
        self.row = row
        self.column = column


class BadConfig(EBMError, ValueError):
    """A configuration that is not understood; the message names the file and the key."""


class BadArtifact(EBMError):
    """A model folder that is incomplete, altered, or of an unknown format version."""


class Unsupported(EBMError):
    """The model exists but has no energy that can do what was asked (e.g. denoise)."""


class Diverged(EBMError):
    """Training that went wrong: non-finite loss, exploding or collapsed energies, saturated chains."""


class Cancelled(EBMError):
    """A long call that was told to stop between two chunks."""
