"""The server's settings: from the command line, environment variables EBM_<FIELD>, a file, or the default, in this
order."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from service.api_keys import ApiKey, Rate
from service.settings.file import read_file
from service.settings.jobs import JobSettings
from service.settings.types import Bytes, Count, Place, Words

PREFIX = "EBM_"
FILE_VARIABLE = "EBM_CONFIG"


class ServerSettings(BaseModel):
    """Server."""

    host: str = Field(default="127.0.0.1", description="address to bind; 0.0.0.0 for all")
    port: int = Field(default=8000, ge=0, le=65535, description="port to bind; 0 picks a free one")
    workers: Count = Field(default=1, description="processes that serve, each with models of its own")
    threads: int | None = Field(
        default=None,
        ge=1,
        description="CPU threads of one inference thread; not set: cores / workers, or OMP_NUM_THREADS",
    )
    runtime_dir: Path | None = Field(
        default=None,
        description="folder for what workers share; not set: a temporary one, removed at the end",
    )
    timeout_s: float = Field(
        default=60.0, gt=0, description="deadline of a request that names none, in seconds"
    )
    max_timeout_s: float = Field(default=600.0, gt=0, description="largest X-Timeout-Seconds that counts")
    head_timeout_s: float = Field(
        default=10.0, gt=0, description="time in which a request's head must arrive"
    )
    body_timeout_s: float = Field(
        default=30.0, gt=0, description="time in which a request's body must arrive"
    )
    keep_alive_s: int = Field(default=30, ge=1, description="time that an idle connection is kept")
    drain_s: float = Field(
        default=10.0, ge=0, description="time to finish accepted work at shutdown, in seconds"
    )
    max_head_bytes: Bytes = Field(default=64 * 2**10, description="bytes of a request's line and headers")
    trusted_proxies: str = Field(
        default="",
        description="addresses, with commas, whose X-Forwarded-For is believed; * for all; none: no one's",
    )


class ModelSettings(BaseModel):
    """Models."""

    models_dir: Place = Field(
        default=Path("models"), description="folder, or URL such as s3://..., of published models"
    )
    device: str = Field(default="cpu", description="where to compute: cpu, cuda, cuda:1, ...")
    load: Literal["eager", "lazy"] = Field(
        default="eager", description="load models at start, or when first asked for"
    )
    watch_s: float | None = Field(
        default=None,
        ge=0,
        description="seconds between two looks for new versions; 0: only on reload; not set: 2, of a URL 30",
    )
    max_model_bytes: int | None = Field(
        default=None,
        ge=1,
        description="memory for loaded models; the least recently used go first; not set: no limit",
    )
    cache_dir: Path | None = Field(
        default=None, description="where models from a URL are kept; not set: the user's cache folder"
    )


class LimitSettings(BaseModel):
    """Limits of one request."""

    max_body_bytes: Bytes = Field(default=32 * 2**20, description="bytes of one request body")
    max_decompressed_bytes: Bytes = Field(
        default=256 * 2**20, description="bytes of a body once gzip, Parquet or Arrow compression is undone"
    )
    max_held_bytes: Bytes = Field(
        default=512 * 2**20, description="bytes of the bodies of all requests in work; more are answered 429"
    )
    max_rows: Count = Field(default=10_000, description="rows of one score request")
    max_denoise_rows: Count = Field(default=256, description="rows of one denoise request")
    max_explain_rows: Count = Field(default=256, description="rows of one explain request")
    max_impute_rows: Count = Field(default=256, description="rows of one impute request")
    max_compare_rows: Count = Field(default=256, description="pairs of rows of one compare request")
    max_draws: Count = Field(default=1000, description="draws for each row of one impute request")
    max_samples: Count = Field(default=256, description="samples of one generate request")
    max_steps: Count = Field(default=10_000, description="sampler steps of one request")
    max_values: Count = Field(default=4_000_000, description="numbers that one generate request may return")
    max_pixels: Count = Field(default=16_000_000, description="pixels of the pictures of one request")


class EngineSettings(BaseModel):
    """Engine."""

    max_requests: Count = Field(
        default=256, description="requests in work at once; more are refused while their head is read"
    )
    queue_size: Count = Field(default=256, description="score requests that may wait")
    queue_rows: Count = Field(
        default=65_536,
        description="rows that these requests may hold together; a request that is alone may hold more",
    )
    task_queue_size: Count = Field(
        default=16, description="denoise and generate requests under way or waiting"
    )
    active_tasks: Count = Field(default=2, description="denoise and generate requests that advance by turns")
    max_batch_rows: Count = Field(default=2048, description="rows joined into one batch")
    inline_s: float = Field(
        default=0.002,
        ge=0,
        description="seconds: what is expected to be scored in less needs no other thread; 0: always in the thread",
    )
    chunk_steps: Count = Field(default=10, description="steps of a long task between two looks at the queue")


class SecuritySettings(BaseModel):
    """Security."""

    api_keys_file: Path | None = Field(
        default=None, description="YAML list of API keys: name, sha256, scopes, rate; see `ebm keys new`"
    )
    api_keys: tuple[ApiKey, ...] = Field(default=(), description="the same list as JSON, in addition")
    anonymous_rate: Rate | None = Field(
        default=None,
        description='requests allowed to one address where no keys are configured, such as "100/minute"',
    )
    rate_storage: str = Field(
        default="memory://",
        description="where rates are counted: memory:// (each worker for itself) or redis://host:6379 (all together)",
    )
    cors_origins: Words = Field(
        default=(), description="origins, with commas, whose pages may call the API; none: CORS is off"
    )


class TelemetrySettings(BaseModel):
    """Telemetry."""

    drift_window: Count = Field(
        default=10_000, description="latest scores of each model that drift is judged by"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="least level that is logged"
    )
    access_log: Literal["all", "errors", "none"] = Field(
        default="all", description="which requests get a log line; errors: status 400 and up"
    )
    otel_endpoint: str | None = Field(
        default=None,
        description="OTLP/HTTP address that traces are sent to (extra `otel`); not set: no traces",
    )


# In the order of the documentation.
GROUPS: tuple[type[BaseModel], ...] = (
    ServerSettings,
    ModelSettings,
    LimitSettings,
    EngineSettings,
    JobSettings,
    SecuritySettings,
    TelemetrySettings,
)


class Settings(
    TelemetrySettings,
    SecuritySettings,
    JobSettings,
    EngineSettings,
    LimitSettings,
    ModelSettings,
    ServerSettings,
    BaseSettings,
):
    """All settings. `Settings(...)` reads the environment and the file that EBM_CONFIG names; `read_settings` says in
    one line what is wrong."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", env_ignore_empty=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        file = os.environ.get(FILE_VARIABLE)
        given = read_file(Path(file), cls.model_fields) if file else {}
        return init_settings, env_settings, InitSettingsSource(settings_cls, given)
