"""Arrow IPC bodies, streams and files: every message's claim is checked before Arrow decodes it."""

from __future__ import annotations

import struct

import pyarrow as pa
import pyarrow.ipc

from ebm.errors import BadInput
from service.bodies.body import too_large
from service.bodies.ipc_metadata import BATCH, DICTIONARY, SCHEMA, read_claim
from service.bodies.limits import Limits
from service.bodies.tables import choose, line, require_modest, require_simple
from service.bodies.takes import Takes

SOURCE = "the Arrow body"
MAGIC = b"ARROW1"
MAX_MESSAGES = 10_000


def read_arrow(body: bytes, wanted: Takes, limits: Limits, *, ignore_unknown: bool = False) -> pa.Table:
    """The columns that the model takes, in its order. A file is read as the stream that it holds.

    Raises:
        BadInput: no Arrow, damaged, or columns that do not fit. Problem: 413, 422 over a limit.
    """
    data = pa.py_buffer(body)
    try:
        if body.startswith(MAGIC):
            data = data.slice(8)
        _check_claims(data, limits)
        with pa.ipc.open_stream(data, options=pa.ipc.IpcReadOptions(use_threads=False)) as stream:
            schema = stream.schema
        names = choose(schema.names, wanted, named=True, ignore_unknown=ignore_unknown, source=SOURCE)
        fields = [schema.field(name) for name in names]
        require_simple(fields, SOURCE)
        included = sorted(schema.names.index(name) for name in names)
        options = pa.ipc.IpcReadOptions(use_threads=False, included_fields=included)
        with pa.ipc.open_stream(data, options=options) as stream:
            batches = []
            for batch in stream:
                batch.validate(full=True)  # before anything looks at the cells
                batches.append(batch)
            table = pa.Table.from_batches(batches, stream.schema).select(names)
    except (pa.ArrowException, OSError, ValueError, struct.error, IndexError, MemoryError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(f"{SOURCE} is not a readable stream or file: {line(error)}") from None
    require_modest(table, limits.decompressed)
    return table


def _check_claims(data: pa.Buffer, limits: Limits) -> None:
    rows = decompressed = 0
    for i, message in enumerate(pa.ipc.MessageReader.open_stream(pa.BufferReader(data))):
        if i >= MAX_MESSAGES:
            raise BadInput(f"{SOURCE} has more than {MAX_MESSAGES} messages")
        body = memoryview(message.body) if message.body is not None else memoryview(b"")
        claim = read_claim(memoryview(message.metadata), body)
        if (claim.kind == SCHEMA) != (i == 0) or claim.kind not in (SCHEMA, DICTIONARY, BATCH):
            raise ValueError(f"message {i} is of kind {claim.kind}")
        if claim.kind == BATCH:
            rows += claim.rows
            limits.check_rows(rows)
        elif claim.delta:
            raise BadInput(f"{SOURCE} has delta dictionaries, which are not supported")
        elif claim.kind == DICTIONARY and claim.rows > 8 * data.size:
            raise ValueError(f"a dictionary of {claim.rows} values")
        decompressed += claim.decompressed
        if decompressed > limits.decompressed:
            raise too_large(limits.decompressed, "max_decompressed_bytes", "the decompressed body")
