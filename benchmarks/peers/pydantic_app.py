"""FastAPI as its tutorial writes it: nested pydantic lists and a sync `def` route on the thread pool."""

import numpy as np
from fastapi import FastAPI
from forward import Forward
from pydantic import BaseModel

app = FastAPI(openapi_url=None)
model = Forward()


class Body(BaseModel):
    instances: list[list[float]]


class Answer(BaseModel):
    energy: list[float]
    anomaly_score: list[float]
    p_value: list[float]
    is_anomaly: list[bool]


@app.post("/score")
def score(body: Body) -> Answer:
    scores = model(np.asarray(body.instances, np.float64))
    return Answer(**{key: column.tolist() for key, column in scores.items()})


@app.get("/ready")
def ready() -> dict[str, str]:
    return {"status": "ready"}
