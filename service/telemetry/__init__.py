"""Logs, metrics and traces: what runs, how fast, and for whom, but never what a request holds."""

from __future__ import annotations

from service.telemetry.logs import configure_logging, flush
from service.telemetry.metrics import Metrics
from service.telemetry.requests import RequestTelemetry

__all__ = ["Metrics", "RequestTelemetry", "configure_logging", "flush"]
