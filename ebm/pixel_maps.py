"""Where in an image something is odd: a map at its resolution, by a few passes through the model's own energies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from ebm.energies import ProductOfExperts
from ebm.errors import BadInput, Unsupported
from ebm.preprocessing import ScaleImage
from ebm.samplers.gradient import energy_and_gradient
from ebm.samplers.posterior import Denoiser, posterior_mean
from ebm.steps import Progress, Steps
from ebm.types import Energy, EnergyFn

MapMethod = Literal["local", "residual", "gradient"]
ExplainMethod = Literal["local", "residual", "gradient", "contributions"]
METHODS: tuple[MapMethod, ...] = ("residual", "local", "gradient")  # in the order in which they are preferred
PART = 64  # images between two pauses
# By the area under the ROC curve of pixels on calibration digits with planted faults: .80 unsmoothed, .92 at 1/8 of the
# side; .01 more by the second and third pass; hardly any change for sigma between .2 and .5.
SIGMA = 0.3
N_PASSES = 3
STEP = 0.2
SMOOTHING = 1 / 10  # sd, of the shorter side; finer than what was best for faults of 3/8 of it

Restore = Callable[[Tensor], Tensor]


@runtime_checkable
class LocalEnergies(Protocol):
    """An energy that says what each pixel adds to it: (B, C, H, W) -> (B, H, W), more where it is more anomalous."""

    def local_energies(self, x: Tensor, sigma: Tensor | float | None = None) -> Tensor: ...


@runtime_checkable
class Autoencoding(Protocol):
    """An energy with an autoencoder, whose output is a clean version of any image."""

    def encode(self, x: Tensor) -> Tensor: ...

    def decode(self, code: Tensor) -> Tensor: ...


def restorer(product: ProductOfExperts, denoiser: Energy | None) -> Restore | None:
    """x (B, C, H, W) -> a cleaner version: by the model's denoiser, or else by a term that restores, is
    noise-conditional, or holds an autoencoder; None where there is no such term."""
    terms = [product.terms[e.term] for e in product.experts]
    candidates: list[Any] = [denoiser] if denoiser is not None else []
    candidates += [t for t in terms if isinstance(t, Denoiser)]
    candidates += [t for t in terms if getattr(t, "noise_conditional", False)]
    if candidates:
        return lambda x: posterior_mean(candidates[0], x, torch.full((len(x),), SIGMA, device=x.device))
    for term in terms:
        if isinstance(term, Autoencoding):
            return torch.no_grad()(lambda x, t=term: t.decode(t.encode(x)))
    return None


def map_methods(product: ProductOfExperts, denoiser: Energy | None) -> list[MapMethod]:
    """What a model can do, the best first."""
    able = {
        "residual": restorer(product, denoiser) is not None,
        "local": any(isinstance(product.terms[e.term], LocalEnergies) for e in product.experts),
    }
    return [method for method in METHODS if able.get(method, True)]


def pixel_map_steps(
    images: ScaleImage,
    product: ProductOfExperts,
    denoiser: Energy | None,
    values: Any,
    method: MapMethod | None = None,
) -> Steps[Progress, None, np.ndarray]:
    """Maps (N, H, W), float32, larger where the image is more anomalous, smoothed by 1/10 of the shorter side. Pauses
    after every part; progress is in images. Units differ between methods: compare within one image, or one method.

    residual: |x - f(x)|^2 over the channels, f the restored image, where what is odd is replaced by the restored image
    and the whole restored again, twice: what is odd otherwise spoils the restoration around it.
    local: sum_k w_k e_k(x) / s_k, e_k the local energies of the experts that have some, in their share of E.
    gradient: the squared change, over the channels, by one step down the gradient that stays within the range of
    pixels: what cannot become more normal because it is black or white already is not odd.

    Args:
        denoiser: a noise-conditional energy; None takes a term of the product.
        method: None for the best of those the model can do.

    Raises:
        BadInput: images that do not fit, an unknown method, or a map that is not finite.
        Unsupported: a method that the model has nothing for.
    """
    able = map_methods(product, denoiser)
    chosen = check_method(method, able)
    device = product.scales.device
    x = torch.from_numpy(images.transform(values))
    height, width = images.shape[1:]
    maps = np.empty((len(x), height, width), np.float32)
    restore = restorer(product, denoiser)
    for first in range(0, len(x), PART):
        part = x[first : first + PART].to(device)
        if chosen == "residual":
            assert restore is not None
            found = residual_map(restore, part)
        elif chosen == "local":
            found = smoothed(local_map(product, part))
        else:
            found = smoothed((gradient_step(product, part, images.model_range) - part).square().sum(1))
        maps[first : first + PART] = found.cpu().numpy()
        yield Progress(first + len(part), len(x))
    bad = np.flatnonzero(~np.isfinite(maps).all((1, 2)))
    if len(bad):
        row = int(bad[0])
        raise BadInput(f"row {row}: it lies too far from the training data for a heat map", row=row)
    return maps


def require_images(name: str, preprocessor: Any) -> ScaleImage:
    """The preprocessor, if it is one of images; raises Unsupported for other models."""
    if isinstance(preprocessor, ScaleImage):
        return preprocessor
    raise Unsupported(f"model '{name}' has rows, not pictures: there is no heat map; see explain")


def check_method(method: str | None, able: list[MapMethod]) -> MapMethod:
    """`method` itself, or the best; raises BadInput, Unsupported as `pixel_map_steps`."""
    if method is None:
        return able[0]
    for known in METHODS:
        if method == known:
            if known in able:
                return known
            raise Unsupported(
                f"no energy of this model gives a map by method '{method}'; by {', '.join(able)}"
            )
    raise BadInput(f"method must be one of {', '.join(METHODS)}, got {method!r}")


def gradient_step(energy: EnergyFn, x: Tensor, box: tuple[float, float] = (-1.0, 1.0)) -> Tensor:
    """x - c dE/dx within `box`, the range of pixels, with c such that the step's root mean square is `STEP`; x (B, C,
    H, W)."""
    gradient = energy_and_gradient(energy, x)[1]
    size = gradient.square().mean((1, 2, 3), keepdim=True).sqrt()
    return (x - STEP * gradient / size.clamp_min(1e-12)).clamp(*box)


def residual_map(restore: Restore, x: Tensor) -> Tensor:
    """x (B, C, H, W) -> (B, H, W), by `N_PASSES` calls of `restore`."""
    seen = x
    for left in reversed(range(N_PASSES)):
        clean = restore(seen)
        found = smoothed((x - clean).square().sum(1))
        if left:
            # The share of odd pixels is small: where the residual is a multiple of what 85% of them stay below.
            usual = found.flatten(1).quantile(0.85, dim=1).clamp_min(1e-12)[:, None, None]
            odd = (1 - 1 / (1 + (found / usual) ** 4))[:, None]
            seen = torch.where(odd.isfinite(), x + odd * (clean - x), x)
    return found  # pyright: ignore[reportPossiblyUnboundVariable]  # N_PASSES is at least 1


@torch.no_grad()
def local_map(product: ProductOfExperts, x: Tensor) -> Tensor:
    """x (B, C, H, W) -> (B, H, W): the weighted sum over the experts with local energies."""
    total = x.new_zeros(len(x), *x.shape[2:])
    for expert, scale in zip(product.experts, product.scales.tolist(), strict=True):
        term = product.terms[expert.term]
        if isinstance(term, LocalEnergies):
            total = total + expert.weight / scale * term.local_energies(x, sigma=expert.sigma)
    return total


def smoothed(maps: Tensor) -> Tensor:
    """Maps (B, H, W) under a Gaussian window of `SMOOTHING`, mirrored at the edges."""
    sd = SMOOTHING * min(maps.shape[1:])
    found = gaussian_filter(maps.detach().float().cpu().numpy(), (0, sd, sd))
    return torch.from_numpy(found).to(maps.device)
