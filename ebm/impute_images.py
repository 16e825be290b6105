"""Filling missing pixels: inpainting."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ebm.conditional import pooled
from ebm.energies import ProductOfExperts
from ebm.flat_images import FlatImages
from ebm.impute import Imputed, Source, impute_steps
from ebm.preprocessing import ScaleImage
from ebm.steps import Progress, Steps
from ebm.types import Energy


def impute_image_steps(
    images: ScaleImage,
    product: ProductOfExperts,
    noise_conditional: Energy | None,
    values: Any,
    *,
    n_draws: int,
    seed: int,
    keep_draws: bool,
) -> Steps[Progress, None, Imputed]:
    """See `Detector.impute`, for images: nulls and NaN of pixels, or of single channels, are filled.

    Draws come from a noise-conditional energy by conditional annealed Langevin dynamics, where there is one; else from
    training images that resemble the pixels that are there. Channels that the model predicts from the others come from
    the least energy.
    """
    view = FlatImages(images)
    source = Source.of(product, noise_conditional)
    if noise_conditional is not None:
        source = replace(source, donors=None, noise_conditional=view.energy(noise_conditional))
    else:
        source = replace(source, pooled=lambda x: pooled(product)(x.reshape(len(x), *images.shape)))
    rows = view.rows(values, allow_missing=True)
    found = yield from impute_steps(view, source, rows, n_draws=n_draws, seed=seed, keep_draws=keep_draws)

    def unflat(flat: Any) -> np.ndarray:
        return view.unflat(np.asarray(flat))

    return Imputed(
        rows=unflat(found.rows),
        missing=unflat(found.missing),
        spread=unflat(found.spread),
        draws=None if found.draws is None else [unflat(draw) for draw in found.draws],
        acceptance=found.acceptance,
    )
