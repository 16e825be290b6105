"""`ebm train PRESET`: the configuration that a preset and a data file make, without a YAML document."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ebm.errors import BadInput

if TYPE_CHECKING:
    from ebm.training.config import TrainConfig

PRESETS = ("tabular", "image")


@dataclass(frozen=True)
class PresetOptions:
    """What the command line says beside the preset's name; None and () where it says nothing."""

    data: Path | None = None
    name: str | None = None
    version: str | None = None
    label: str | None = None
    normal: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    contamination: str | None = None
    seed: int | None = None
    size: str | None = None

    def given(self) -> dict[str, Any]:
        """The options that were given, in the order of the command's help."""
        return {key: value for key, value in vars(self).items() if value not in (None, ())}

    def arguments(self) -> str:
        """The same as they would be typed."""
        parts: list[str] = []
        for key, value in self.given().items():
            for one in value if isinstance(value, tuple) else (value,):
                parts += [f"--{key}", str(one)]
        return shlex.join(parts)


def refuse_preset_options(config: Path, options: PresetOptions) -> None:
    """For a YAML document, which says all of that itself.

    Raises:
        BadInput: names the options.
    """
    if options.given():
        listed = ", ".join(f"--{key}" for key in options.given())
        raise BadInput(f"{config}: {listed} go with a preset ({', '.join(PRESETS)}), not with a YAML file")


def preset_config(preset: str, options: PresetOptions) -> TrainConfig:
    """The configuration of `preset` on a file; paths are taken from the current folder.

    With labels, a fifth of the normal rows is kept to measure with; else every row of a table is trained on. Of images
    a tenth calibrates and a tenth measures in any case.

    Raises:
        BadInput, BadConfig: names the option.
    """
    from ebm.config import validate
    from ebm.training.config import TrainConfig

    if options.data is None or options.name is None:
        missing = " and ".join(f"--{k}" for k in ("data", "name") if getattr(options, k) is None)
        raise BadInput(f"the preset '{preset}' needs {missing}; see ebm train --help")
    if not options.data.exists():
        raise BadInput(f"{options.data}: no such file")
    if options.label is not None and not options.normal:
        raise BadInput(
            f"--label {options.label}: say which of its values are normal (--normal), or --ignore the column"
        )
    image = preset == "image"
    for key, fits in (("size", image), ("contamination", not image)):
        if getattr(options, key) is not None and not fits:
            raise BadInput(f"--{key}: not an option of the preset '{preset}'")
    data: dict[str, Any] = {"kind": "file", "path": str(options.data)}
    if options.size is not None:
        data["size"] = _size(options.size)
    if options.label is not None:
        data["label_key" if options.data.suffix.lower() == ".npz" else "label_column"] = options.label
    if options.normal:
        data["normal"] = options.normal
    if options.ignore:
        data["ignore"] = options.ignore
    values: dict[str, Any] = {"preset": preset, "name": options.name, "data": data}
    if not options.normal and not image:
        values["split"] = {"train": 1.0, "calibration": 0.0}
    if options.version is not None:
        values["version"] = options.version
    if options.seed is not None:
        values["seed"] = options.seed
    if options.contamination is not None:
        values["contamination"] = _contamination(options.contamination)
    return validate(TrainConfig, values, f"preset {preset}")


def _size(text: str) -> list[int]:
    try:
        height, width = (int(part) for part in text.lower().split("x"))
    except ValueError:
        raise BadInput(f"--size {text}: height and width in pixels, as 64x64") from None
    return [height, width]


def _contamination(text: str) -> float | str:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if text != "auto" and not 0 < share <= 0.5:
        raise BadInput(f"--contamination {text}: 'auto', or a share above 0 and at most 0.5")
    return text if text == "auto" else share
