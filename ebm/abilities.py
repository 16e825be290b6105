"""What a model can be asked, by the energies that it has."""

from __future__ import annotations

from ebm import classify, impute, pixel_maps
from ebm.energies import ProductOfExperts
from ebm.types import Energy


def abilities(kind: str, product: ProductOfExperts, denoiser: Energy | None, samples: bool) -> frozenset[str]:
    """The calls that a model answers: 'score'; 'explain' for tables, and for images that the model restores or keeps
    from training; 'impute', 'classify', 'generate' and 'denoise' where an energy is there for it.

    Args:
        kind: 'tabular' or 'image'.
        denoiser: the noise-conditional energy that denoises. samples: whether it was published with a sampler.
    """
    restores = pixel_maps.restorer(product, denoiser) is not None
    able = {"score"} | ({"explain"} if kind == "tabular" or restores else set())
    source = impute.Source.of(product, denoiser)
    if source.draws:
        able.add("explain")
    if source.known:
        able.add("impute")
    if samples:
        able |= {"generate"} | ({"denoise"} if denoiser is not None else set())
    if classify.joint_expert(product) is not None:
        able.add("classify")
    return frozenset(able)
