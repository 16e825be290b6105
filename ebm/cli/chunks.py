"""Options of the commands that work through their rows chunk by chunk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from ebm.batch.spec import BatchSpec

PartsFormat = Annotated[
    Literal["parquet", "csv", "arrow", "npy"], typer.Option("--format", help="Of the parts of a folder.")
]
ChunkRows = Annotated[
    int | None,
    typer.Option(
        "--chunk-rows", min=1, help="Rows computed and made durable together; default: by their width."
    ),
]
Fresh = Annotated[
    bool, typer.Option("--fresh", help="Do not go on with what an interrupted run left; drop it.")
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace a folder that is the output of an earlier run.")
]


def check_place(spec: BatchSpec) -> None:
    """Refuse an output that cannot be written before the model is loaded.

    Raises:
        BadInput: names the output.
    """
    from ebm.batch.target import Target

    Target.of(spec)
