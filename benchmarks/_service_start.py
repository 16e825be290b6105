"""From exec to the first 200 of /readyz, with the shipped models and the server's own settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from _service_measure import Pace, row
from _service_model import SHIPPED
from _service_servers import Server, Spec
from _service_specs import PYTHON

REACH_S = 4.0


def run(logs: Path, pace: Pace) -> dict[str, Any]:
    """The first start also compiles and reads from disk: it is kept apart."""
    command = (str(PYTHON.with_name("ebm")), "serve", "--port", "{port}", "--models", str(SHIPPED))
    spec = Spec("start", command, "/readyz")
    took: list[float] = []
    for _ in range(2 if pace.quick else 6):
        server = Server(spec, logs)
        try:
            took.append(server.wait_ready(every_s=0.01))
        finally:
            server.stop()
    first, later = took[0], took[1:]
    median = float(np.median(later))
    names = ", ".join(sorted(path.name for path in SHIPPED.iterdir()))
    said = (
        f"{median:.2f} s ({min(later):.2f} to {max(later):.2f}, {len(later)} starts; the first {first:.2f} s)"
    )
    title = f"ready to serve after start, with {names}"
    return {"seconds": took, "rows": [row(f"under {REACH_S:g} s", said, median < REACH_S, title)]}
