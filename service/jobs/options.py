"""The options of each kind of job, and what is run with them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StrictInt, StrictStr, model_validator

from ebm.batch.spec import BatchSpec
from ebm.config import Frozen, validate
from ebm.errors import BadConfig, BadInput
from service.jobs.job import Kind, Submission

# Of a batch run as a whole, not of what it computes.
RUN_OPTIONS = ("rows_per_chunk", "on_error", "format", "overwrite")


class TrainOptions(Frozen):
    """A preset on the rows of `input`, as `ebm train PRESET` takes it; or `config`, all that a YAML document of `ebm
    train` holds, whose data may be left to `input`. Name and version are the job's."""

    preset: Literal["tabular", "image"] | None = None
    label: str | None = None
    normal: tuple[StrictInt | StrictStr, ...] = ()
    ignore: tuple[str, ...] = ()
    contamination: Literal["auto"] | Annotated[float, Field(gt=0, le=0.5)] | None = None
    seed: Annotated[int, Field(ge=0)] | None = None
    size: tuple[int, int] | None = None
    config: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> TrainOptions:
        if (self.preset is None) == (self.config is None):
            raise ValueError("needs either 'preset' or 'config'")
        if self.config is not None and (more := self.model_fields_set - {"config"}):
            raise ValueError(f"{', '.join(sorted(more))}: of a preset; say it in 'config'")
        if self.label is not None and not self.normal:
            raise ValueError(
                f"label '{self.label}': say which of its values are normal, or ignore the column"
            )
        if self.preset == "tabular" and self.size is not None:
            raise ValueError("size: not an option of the preset 'tabular'")
        if self.preset == "image" and self.contamination is not None:
            raise ValueError("contamination: not an option of the preset 'image'")
        return self


def check_options(kind: Kind, options: dict[str, Any]) -> None:
    """Raises BadInput: names the option at fault. A training configuration is only looked at from outside."""
    if kind == "train":
        _validated(TrainOptions, options)
    else:
        batch_spec(kind, options, model="model", input=None if kind == "generate" else "in", output="out")


def batch_spec(
    kind: Kind, options: dict[str, Any], *, model: str, input: str | None, output: str, device: str = "cpu"
) -> BatchSpec:
    """The batch run of a job that scores, denoises or generates. Raises BadInput."""
    run = {key: options[key] for key in RUN_OPTIONS if key in options}
    own = {key: value for key, value in options.items() if key not in RUN_OPTIONS}
    if own.get("kind", kind) != kind:
        raise BadInput(f"options: kind: '{own['kind']}', but the job's is '{kind}'")
    if (input is None) != (kind == "generate"):
        raise BadInput(
            f"input: {'none goes with' if input is not None else 'missing for'} a job that {kind}s"
        )
    places = {"model": model, "input": input, "output": output, "device": device}
    return _validated(BatchSpec, {**places, **run, "options": {**own, "kind": kind}})


def train_values(submission: Submission) -> dict[str, Any]:
    """What `TrainConfig` is validated from. Raises BadInput."""
    options = _validated(TrainOptions, submission.options)
    named: dict[str, Any] = {"name": submission.model}
    if submission.version is not None:
        named["version"] = submission.version
    if options.config is not None:
        values = {**options.config, **named}
        if submission.input is not None:
            data = values.get("data")
            given = data if isinstance(data, dict) else {}
            values["data"] = {**given, "kind": "file", "path": submission.input}
        return values
    if submission.input is None:
        raise BadInput(f"input: missing: the preset '{options.preset}' learns from it")
    data = {"kind": "file", "path": submission.input}
    if options.size is not None:
        data["size"] = options.size
    if options.label is not None:
        data["label_key" if submission.input.lower().endswith(".npz") else "label_column"] = options.label
    if options.normal:
        data["normal"] = options.normal
    if options.ignore:
        data["ignore"] = options.ignore
    values = {"preset": options.preset, **named, "data": data}
    if not options.normal and options.preset == "tabular":
        values["split"] = {"train": 1.0, "calibration": 0.0}  # without labels there is nothing to measure
    for key in ("seed", "contamination"):
        if getattr(options, key) is not None:
            values[key] = getattr(options, key)
    return values


def _validated(model: Any, values: dict[str, Any]) -> Any:
    try:
        return validate(model, values, "options")
    except BadConfig as error:
        raise BadInput(str(error).replace("options: options.", "options: ")) from None
