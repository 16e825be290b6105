"""What runs torch: a thread that scores, a thread for long calls, and the queues in front of them."""

from __future__ import annotations

from service.engine.engine import Engine
from service.engine.row_scores import RowScore
from service.engine.tasks import Merge, Task

__all__ = ["Engine", "Merge", "RowScore", "Task"]
