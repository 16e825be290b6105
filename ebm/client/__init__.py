"""The server from Python: `Client`, and `AsyncClient` with the same methods.

    from ebm.client import Client

    with Client("http://127.0.0.1:8000") as client:
        scores = client.score("breast-cancer", rows, fdr=0.1)

It needs no torch; rows are anything that has rows, and answers are numpy, frames and pictures. docs/client.md shows it.
"""

from ebm.client.client import AsyncClient, Client
from ebm.client.errors import (
    BadRequest,
    Busy,
    ClientError,
    DeadlinePassed,
    Forbidden,
    LimitExceeded,
    ModelRefused,
    NoAnswer,
    NotFound,
    Problem,
    ServerFailed,
    TimedOut,
    Unauthorized,
    Unavailable,
)
from ebm.client.making import Event, Generated
from ebm.client.retries import Retries
from ebm.client.scores import Scores

__all__ = [
    "AsyncClient",
    "BadRequest",
    "Busy",
    "Client",
    "ClientError",
    "DeadlinePassed",
    "Event",
    "Forbidden",
    "Generated",
    "LimitExceeded",
    "ModelRefused",
    "NoAnswer",
    "NotFound",
    "Problem",
    "Retries",
    "Scores",
    "ServerFailed",
    "TimedOut",
    "Unauthorized",
    "Unavailable",
]
