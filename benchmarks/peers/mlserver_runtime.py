"""MLServer over the same detector: a custom runtime of the Open Inference Protocol."""

import numpy as np
from forward import Forward
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Runtime(MLModel):
    async def load(self) -> bool:
        self.forward = Forward()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        rows = NumpyCodec.decode_input(payload.inputs[0])
        outputs = [
            NumpyCodec.encode_output(name, np.ascontiguousarray(column))
            for name, column in self.forward(rows).items()
        ]
        return InferenceResponse(model_name=self.name, outputs=outputs)
