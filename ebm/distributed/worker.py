"""One actor of the pool: it holds the model, and does the chunks it is given."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

import ebm
from ebm.distributed.messages import error_as_json
from ebm.errors import BadInput


class ChunkWorker:
    """A callable for `Dataset.map_batches`: a batch of chunks in, what was done with each out.

    spec: a BatchSpec as JSON, with places that every machine sees under the same name. version: of the library where
    the run began; an actor on a machine with another one refuses to compute.

    An error is an answer like any other: raised here it would come out as one of Ray's, with its tracebacks.
    """

    def __init__(self, spec: str, version: str):
        self._spec, self._version = spec, version
        self._run: Any = None

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, list[str]]:
        columns = batch["index"], batch["row"], batch["offset"]
        return {"said": [json.dumps(self._do(*map(int, chunk))) for chunk in zip(*columns, strict=True)]}

    def _do(self, index: int, row: int, offset: int) -> dict[str, Any]:
        from ebm.data.streams.protocol import Mark

        try:
            if (
                self._run is None
            ):  # here, not in the constructor: an actor that cannot be made is made again and again
                self._run = self._joined()
            return {"chunk": list(self._run.do(index, Mark(row, offset)))}
        except Exception as error:
            return error_as_json(error)

    def _joined(self) -> Any:
        import torch

        from ebm.batch.run import BatchRun
        from ebm.batch.spec import BatchSpec

        if ebm.__version__ != self._version:
            raise BadInput(
                f"a worker of the Ray cluster has ebm-service {ebm.__version__}, this machine {self._version}: "
                "install one version everywhere"
            )
        torch.set_num_threads(1)  # the pool has an actor a core
        return BatchRun.open(BatchSpec.model_validate_json(self._spec))
