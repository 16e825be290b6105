"""Which energy of a model is meant, and what its rows are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from torch import nn

from ebm.errors import BadInput
from ebm.types import EnergyFn

if TYPE_CHECKING:
    from ebm.detector import Detector

Space = Literal["real", "binary", "counts"]


@dataclass(frozen=True, eq=False)
class Asked:
    """`energy`: x (B, ...) -> (B,) in the model's own coordinates; `module`, the term whose energy it is at noise level
    `sigma`, None of a product of several; `space`, what its rows are; `about`, in words."""

    energy: EnergyFn
    module: Any
    sigma: float | None
    space: Space
    about: str


def asked(detector: Detector, term: str | None = None, sigma: float | None = None) -> Asked:
    """The model's own energy, as it scores; or that of one term, at one noise level.

    Raises:
        BadInput: an unknown term, several where one must be named, or a noise level that is missing or has no use.
    """
    product, terms = detector.energy, {t.name: t for t in detector.manifest.terms}
    if term is not None and term not in terms:
        raise BadInput(f"model {detector.name} has no term '{term}'; it has: {', '.join(terms)}")
    if term is None:
        alone = len(product.experts) == 1 and product.link == "linear" and not product.experts[0].local
        if sigma is None and not (alone and product.experts[0].weight == 1):
            space = _space([t.energy for t in detector.manifest.terms if t.weight])
            return Asked(product, None, None, space, "the model's energy, a product of experts")
        if len(terms) > 1 and not alone:
            raise BadInput(f"--sigma is of one term: say which, with --term; there are: {', '.join(terms)}")
        term = product.experts[0].term
    module, levels = product.terms[term], [e.sigma for e in product.experts if e.term == term and not e.local]
    conditional, kernel = getattr(module, "noise_conditional", False), terms[term].energy.kind == "kernel"
    if sigma is not None and not conditional:
        raise BadInput(f"term '{term}' has no noise levels: leave out --sigma")
    if sigma is None and len(levels) == 1:
        sigma = levels[0]
    if sigma is None and conditional and not kernel:
        known = ", ".join(f"{s:g}" for s in levels if s is not None) or "none"
        raise BadInput(
            f"term '{term}' has an energy at each noise level: give --sigma (it scores at: {known})"
        )
    if sigma is not None and not sigma > 0:
        raise BadInput(f"--sigma must be above 0, got {sigma:g}")
    at = "" if sigma is None else f" at noise level {sigma:g}"
    energy = partial(module, sigma=sigma) if conditional else module
    return Asked(energy, module, sigma, _space([terms[term].energy]), f"term '{term}'{at}")


def _space(configs: list[Any]) -> Space:
    words = [config.offers for config in configs]
    for space in ("binary", "counts"):
        if any(space in offered for offered in words):
            return space
    return "real"


def known_log_z(module: Any, sigma: float | None) -> float | None:
    """log Z in closed form: of energies with a property `log_z`, and of kernels. None where there is none."""
    from ebm.energies import KernelEnergy

    if isinstance(module, KernelEnergy):
        return _kernel_log_z(module, sigma or 0.0)
    value = getattr(module, "log_z", None) if isinstance(module, nn.Module) and sigma is None else None
    return None if value is None else float(value)


def _kernel_log_z(kernel: Any, sigma: float) -> float:
    """E is minus the log of a sum of Gaussian bumps, each of mass (2 pi (h_i^2 + sigma^2))^(d/2), but for constants."""
    import math

    squared = kernel.squared_bandwidths.double()
    masses = 0.5 * kernel.dim * (2 * math.pi * (squared + sigma**2)).log()
    typical = kernel.squared_bandwidths.median().double()
    widening = 0.5 * kernel.dim * ((typical + sigma**2) / typical).log()
    return float(masses.logsumexp(0) - widening) - math.log(len(squared))
