"""The server's settings, from environment variables named EBM_ and the field: EBM_MODELS_DIR, EBM_MAX_ROWS."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Where the models are, and how much one request may ask for. `GET /v1/limits` shows the limits."""

    model_config = SettingsConfigDict(env_prefix="EBM_", frozen=True, extra="forbid")

    models_dir: Path = Path("models")
    device: str = "cpu"
    threads: int | None = Field(
        default=None, ge=1, description="torch threads of the inference thread; None: its default"
    )
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    max_body_bytes: int = Field(default=32 * 2**20, ge=1, description="bytes of one request body")
    max_decompressed_bytes: int = Field(
        default=256 * 2**20, ge=1, description="bytes of a body once gzip, Parquet or Arrow compression is undone"
    )
    max_rows: int = Field(default=10_000, ge=1, description="rows of one score request")
    max_denoise_rows: int = Field(default=256, ge=1, description="rows of one denoise request")
    max_samples: int = Field(default=256, ge=1, description="samples of one generate request")
    max_steps: int = Field(default=10_000, ge=1, description="sampler steps of one request")
    max_values: int = Field(
        default=4_000_000, ge=1, description="numbers that one generate request may return"
    )
    max_pixels: int = Field(default=16_000_000, ge=1, description="pixels of the pictures of one request")

    queue_size: int = Field(default=256, ge=1, description="score requests that may wait")
    task_queue_size: int = Field(
        default=16, ge=1, description="denoise and generate requests under way or waiting"
    )
    active_tasks: int = Field(
        default=2, ge=1, description="denoise and generate requests that advance by turns"
    )
    max_batch_rows: int = Field(default=4096, ge=1, description="rows joined into one batch")
    chunk_steps: int = Field(
        default=10, ge=1, description="steps of a long task between two looks at the queue"
    )
    retry_after_s: int = Field(default=1, ge=1, description="Retry-After of a 429 answer, in seconds")

    timeout_s: float = Field(default=60.0, gt=0, description="deadline of a request that names none")
    max_timeout_s: float = Field(default=600.0, gt=0, description="largest X-Timeout-Seconds that counts")
    drain_s: float = Field(default=10.0, ge=0, description="time to finish accepted work at shutdown")
