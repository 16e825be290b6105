"""LitServe over the same detector: JSON rows in, columns out. Settings by PEER_SETTINGS, a JSON object."""

import json
import os

import litserve as ls
import numpy as np
from forward import Forward


class Rows(ls.LitAPI):
    """One request is `{"instances": [[...]]}` with one row, as LitServe batches requests, not rows."""

    def setup(self, device: str) -> None:
        self.model = Forward()

    def decode_request(self, request: dict) -> np.ndarray:
        return np.asarray(request["instances"], np.float64)

    def predict(self, x: np.ndarray) -> dict:
        return self.model(x)

    def encode_response(self, output: dict) -> dict:
        return {key: column.tolist() for key, column in output.items()}


class Batched(Rows):
    """The same with LitServe's batching on: requests of one row each are stacked."""

    def batch(self, inputs: list[np.ndarray]) -> np.ndarray:
        return np.concatenate(inputs)

    def unbatch(self, output: dict) -> list[dict]:
        n = len(output["energy"])
        return [{key: column[i : i + 1] for key, column in output.items()} for i in range(n)]


if __name__ == "__main__":
    settings = json.loads(os.environ["PEER_SETTINGS"])
    size = settings.get("max_batch_size", 1)
    api = (
        Batched(max_batch_size=size, batch_timeout=settings.get("batch_timeout", 0.0)) if size > 1 else Rows()
    )
    server = ls.LitServer(
        api,
        accelerator="cpu",
        workers_per_device=settings.get("workers_per_device", 1),
        fast_queue=settings.get("fast_queue", False),
        disable_openapi_url=True,
    )
    server.run(
        host="127.0.0.1",
        port=int(os.environ["PEER_PORT"]),
        num_api_servers=settings.get("num_api_servers", 1),
        log_level="warning",
        generate_client_file=False,
        access_log=False,
        loop="uvloop",
        http="httptools",
    )
