"""What a batch run is to do, as JSON: the command line, a job and a cluster say it in the same words."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StrictInt, StrictStr

from ebm.config import Frozen

Rate = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]


class ScoreOptions(Frozen):
    """fpr: flag rows with p_value <= fpr; fdr: flag so that at most this share of the flagged is normal, over the whole
    file; neither: the model's own rate. worst: how many of the most anomalous rows the summary names."""

    kind: Literal["score"] = "score"
    fpr: Rate | None = None
    fdr: Rate | None = None
    worst: Annotated[int, Field(ge=0, le=1000)] = 10


class DenoiseOptions(Frozen):
    """As `Detector.denoise`."""

    kind: Literal["denoise"] = "denoise"
    sigma: Annotated[float, Field(gt=0)] | None = None
    n_steps: Count | None = None
    method: Literal["posterior_mean", "langevin"] = "posterior_mean"
    noise: Literal["gaussian", "impulse"] = "gaussian"
    seed: Annotated[int, Field(ge=0)] = 0


class GenerateOptions(Frozen):
    """n samples; `class` and the others as `Detector.generate`. Each chunk draws with a seed of its own, derived from
    `seed`."""

    model_config = ConfigDict(populate_by_name=True)

    kind: Literal["generate"] = "generate"
    n: Count
    seed: Annotated[int, Field(ge=0)] = 0
    n_steps: Count | None = None
    step_size: Annotated[float, Field(gt=0)] | None = None
    label: StrictInt | StrictStr | None = Field(default=None, alias="class")


Options = Annotated[ScoreOptions | DenoiseOptions | GenerateOptions, Field(discriminator="kind")]


class BatchSpec(Frozen):
    """One batch run.

    model: folder of a published version, e.g. models/pumps/2.
    input: path or URL of the rows; None to generate.
    output: path or URL. With a suffix (.parquet, .csv, .csv.gz, .arrow, .npy) one file; without, a folder of parts.
    format: of the parts of a folder.
    rows_per_chunk: rows read, computed and made durable together; None for what fits the width of the rows.
    on_error: list rows that cannot be used in a file of rejects and go on, or fail at the first.
    device: where to compute.
    overwrite: replace a folder that is the output of an earlier run; files are always replaced.
    summary: leave the summary beside a single file, as <output>.summary.json; a folder always has it.
    """

    model: str
    input: str | None = None
    output: str
    options: Options
    format: Literal["parquet", "csv", "arrow", "npy"] = "parquet"
    rows_per_chunk: Count | None = None
    on_error: Literal["reject", "fail"] = "reject"
    device: str = "cpu"
    overwrite: bool = False
    summary: bool = True
