"""Why an image is anomalous: what each pixel adds to its energy above that of its normal version."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ebm.attribution import path_contributions
from ebm.calibration import Calibration
from ebm.energies import ProductOfExperts
from ebm.explain import changed_columns, contributions_steps, surroundings
from ebm.explanation import Explanation
from ebm.flat_images import FlatImages
from ebm.manifest import CalibrationSummary
from ebm.nearest import Surroundings, put_back, replaced_by_donors
from ebm.noise_level import SIGMA_GRID, estimate_sigma
from ebm.parzen import find_parzen
from ebm.pixel_maps import ExplainMethod, Restore, check_method, map_methods, pixel_map_steps, restorer
from ebm.preprocessing import ScaleImage
from ebm.restoration import denoise_steps
from ebm.steps import Progress, Steps
from ebm.types import Energy, EnergyFn

N_STEPS = 4  # of each denoising: sharper than the posterior mean, whose blur would show everywhere in the map
GROWTH = 1.5  # from one noise level that is tried to the next


def explain_image_steps(
    images: ScaleImage,
    product: ProductOfExperts,
    summary: CalibrationSummary,
    calibration: Calibration,
    denoiser: tuple[Energy, Tensor] | None,
    values: Any,
    *,
    sparse: bool = False,
    method: ExplainMethod | None = None,
) -> Steps[Progress, None, Explanation]:
    """See `Detector.explain`, for images. Pauses after every pass over a part of them; progress is in images.

    The normal version is the denoised image, at the estimated noise level and from there at higher ones until its
    energy is normal, or the lowest that was met. Without a denoiser it is the nearest training image whose energy is
    normal; of models that keep none, what the autoencoder makes of the image.

    Args:
        denoiser: a noise-conditional energy and the `level_offsets` of its levels.
        sparse: put back every pixel that need not change.
        method: of `anomaly_map`, see `ebm.pixel_maps`; or 'contributions'.

    Raises:
        BadInput: images that do not fit, or one so far away that its energy is not finite; an unknown method.
        Unsupported: a method that the model has nothing for.
    """
    by = method
    if by != "contributions":
        by = check_method(by, map_methods(product, denoiser and denoiser[0]))
    view = FlatImages(images)
    energy = view.energy(product)
    channels, height, width = images.shape
    owners = torch.from_numpy(images.owners)
    device = product.scales.device
    around = surroundings(view, energy, owners, find_parzen(product), summary, calibration, device)
    restore = None if around.donors is not None else restorer(product, None)
    rows = view.rows(values)
    x = torch.from_numpy(view.transform(rows))

    def search(part: Tensor) -> Steps[None, None, Tensor]:
        if denoiser is not None:
            version = yield from denoised_version(energy, part, around, view.energy(denoiser[0]), denoiser[1])
        elif restore is not None:
            version = restored_version(energy, part, around, restore, images.shape)
        else:
            version = training_image(energy, part, around)
        if sparse:
            weights = yield from path_contributions(energy, version, part, around.owners, around.n_columns)
            rank = weights.neg().argsort(dim=1, stable=True).argsort(dim=1)
            version = yield from put_back(energy, part, version, rank, around)
        return version

    def name(column: int) -> str:
        return images.pixel_name(column * channels)

    found = yield from contributions_steps(energy, x, around, search, name)
    if by == "contributions":
        maps = found.contributions.numpy().reshape(-1, height, width)
    else:
        maps = yield from pixel_map_steps(images, product, denoiser and denoiser[0], values, by)
    decoded = view.inverse(found.version.numpy())
    # What does not change stays to the last digit, and beyond the range too.
    normal = np.where((found.version == x).numpy()[:, np.argsort(view.owners)], rows, decoded)
    return Explanation(
        **found.figures(summary, calibration),
        normal_version=view.unflat(normal),
        changed=changed_columns(found.version, x, around),
        values=view.unflat(rows),
        columns=None,
        level=around.level,
        size=(height, width),
        anomaly_map=maps,
        map_method=by,
    )


def denoised_version(
    energy: EnergyFn, x: Tensor, around: Surroundings, denoiser: Energy, offsets: Tensor
) -> Steps[None, None, Tensor]:
    """x (B, D), denoised at the least noise level tried that makes E normal; x itself where it is normal."""
    best = x.clone()
    with torch.no_grad():
        values = energy(x)
    sigma = estimate_sigma(denoiser, x, offsets).clamp_max(SIGMA_GRID[-1])
    yield
    while len(left := ((values > around.level) & (sigma <= SIGMA_GRID[-1])).nonzero().squeeze(1)):
        clean = x[left]
        for step in denoise_steps(denoiser, x[left], sigma[left], N_STEPS, SIGMA_GRID[0]):
            clean = step
            yield
        clean = around.project(clean)
        with torch.no_grad():
            new = energy(clean)
        better = new < values[left]
        best[left[better]], values[left[better]] = clean[better], new[better]
        sigma = sigma * GROWTH
    return best


@torch.no_grad()
def restored_version(
    energy: EnergyFn, x: Tensor, around: Surroundings, restore: Restore, shape: tuple[int, ...]
) -> Tensor:
    """What `restore` makes of x (B, D), and of that, until its energy is normal, or the lowest of `N_STEPS`; x itself
    where it is normal."""
    best, clean = x.clone(), x
    values = energy(x)
    for _ in range(N_STEPS):
        clean = around.project(restore(clean.reshape(-1, *shape)).reshape(x.shape))
        new = energy(clean)
        better = (values > around.level) & (new < values)
        best = torch.where(better[:, None], clean, best)
        values = torch.where(better, new, values)
    return best


def training_image(energy: EnergyFn, x: Tensor, around: Surroundings) -> Tensor:
    """The nearest training image whose energy is normal, or of the lowest; x itself where it is normal."""
    return replaced_by_donors(energy, x, x, around)
