"""Request bodies: bytes of any media type to rows that a model accepts, or to one line that names what is wrong."""

from ebm.sieve import RowError
from service.bodies.body import read_body
from service.bodies.json_rows import read_document
from service.bodies.media import ARROW_FILE, ARROW_STREAM, CSV, JPEG, JSON, MULTIPART, NPY, PARQUET, PNG, ROWS
from service.bodies.only_options import read_only_options
from service.bodies.options import IGNORE_UNKNOWN, read_options
from service.bodies.rows import Rows, read_rows
from service.bodies.takes import as_input

__all__ = [
    "ARROW_FILE",
    "ARROW_STREAM",
    "CSV",
    "IGNORE_UNKNOWN",
    "JPEG",
    "JSON",
    "MULTIPART",
    "NPY",
    "PARQUET",
    "PNG",
    "ROWS",
    "RowError",
    "Rows",
    "as_input",
    "read_body",
    "read_document",
    "read_only_options",
    "read_options",
    "read_rows",
]
