"""What the load generator is told, and what it brings back: files between two processes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Job:
    """What to send: `requests` rotate over the connections; `warmup_s` is sent, not counted."""

    port: int
    requests: list[bytes]
    connections: int = 1
    seconds: float = 3.0
    warmup_s: float = 0.5
    rate: float | None = None
    max_requests: int = 5_000_000
    seed: int = 0
    honour_retry_after: bool = False

    def save(self, path: Path) -> Path:
        path.with_suffix(".bytes").write_bytes(b"".join(self.requests))
        values = asdict(self) | {"requests": [len(request) for request in self.requests]}
        path.write_text(json.dumps(values))
        return path

    @classmethod
    def read(cls, path: Path) -> Job:
        values, data, at = json.loads(path.read_text()), path.with_suffix(".bytes").read_bytes(), 0
        requests = []
        for length in values.pop("requests"):
            requests.append(data[at : at + length])
            at += length
        return cls(requests=requests, **values)


@dataclass(frozen=True)
class Load:
    """What came back in the counted seconds: for each answer its status, when it was sent (seconds into the counted
    time) and how long it took."""

    seconds: float
    status: np.ndarray
    sent_at: np.ndarray
    latency_s: np.ndarray
    sent: int
    not_sent: int
    unanswered: int
    errors: dict[str, int]
    cpu_share: float

    def save(self, path: Path) -> None:
        head = {key: value for key, value in vars(self).items() if not isinstance(value, np.ndarray)}
        arrays = {"head": np.frombuffer(json.dumps(head).encode(), np.uint8)}
        arrays |= {"status": self.status, "sent_at": self.sent_at, "latency_s": self.latency_s}
        np.savez(path, allow_pickle=False, **arrays)

    @classmethod
    def read(cls, path: Path) -> Load:
        with np.load(path, allow_pickle=False) as data:
            head = json.loads(data["head"].tobytes())
            return cls(**head, **{key: data[key] for key in ("status", "sent_at", "latency_s")})
