"""From rows in user units to what an energy takes, and back."""

from typing import Annotated

from pydantic import Field

from ebm.preprocessing.image import ImageConfig, ScaleImage
from ebm.preprocessing.protocol import Preprocessor
from ebm.preprocessing.tabular import Standardize, StandardizeConfig

PreprocessorConfig = Annotated[StandardizeConfig | ImageConfig, Field(discriminator="kind")]

__all__ = [
    "ImageConfig",
    "Preprocessor",
    "PreprocessorConfig",
    "ScaleImage",
    "Standardize",
    "StandardizeConfig",
]
