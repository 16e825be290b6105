"""From rows in user units to what an energy takes, and back."""

from typing import Annotated

from pydantic import Field

from ebm.preprocessing.binarize import BinarizeConfig, BinaryImage, BinaryTable
from ebm.preprocessing.frames import as_table, is_frame
from ebm.preprocessing.image import ImageConfig, ScaleImage
from ebm.preprocessing.mixed import Mixed, MixedConfig
from ebm.preprocessing.protocol import Coding, Preprocessor
from ebm.preprocessing.tabular import Standardize, StandardizeConfig
from ebm.preprocessing.unchanged import Unchanged, UnchangedConfig

PreprocessorConfig = Annotated[
    StandardizeConfig | MixedConfig | ImageConfig | BinarizeConfig | UnchangedConfig,
    Field(discriminator="kind"),
]

__all__ = [
    "BinarizeConfig",
    "BinaryImage",
    "BinaryTable",
    "Coding",
    "ImageConfig",
    "Mixed",
    "MixedConfig",
    "Preprocessor",
    "PreprocessorConfig",
    "ScaleImage",
    "Standardize",
    "StandardizeConfig",
    "Unchanged",
    "UnchangedConfig",
    "as_table",
    "is_frame",
]
