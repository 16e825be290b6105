"""The training rows that a product of experts keeps: donors of missing cells, and landmarks of what is normal."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from ebm.energies import KernelEnergy, KernelViews, ProductOfExperts
from ebm.energies.kernel import squared_distances


class Parzen(NamedTuple):
    """The mixture sum_i m_i N(x; centres_i, squared_bandwidths_i I) over encoded rows (Parzen 1962).

    centres (n, D), squared_bandwidths (n,), log_masses (n,): log m_i up to a constant; None for equal masses.
    """

    centres: Tensor
    squared_bandwidths: Tensor
    log_masses: Tensor | None = None

    def squared_distances(self, x: Tensor, mask: Tensor) -> Tensor:
        """|x - centres_i|^2 over the coordinates of mask (B, D), each row its own: (B, n)."""
        middle = self.centres.mean(0)  # by a^2 + b^2 - 2ab around it, to keep float32 digits
        a, b, mask = (x - middle) * mask, self.centres - middle, mask.to(x.dtype)
        return (a.square().sum(1, keepdim=True) + mask @ b.square().T - 2 * a @ b.T).clamp_min(0)

    def log_kernels(self, x: Tensor, mask: Tensor) -> Tensor:
        """-|x - centres_i|^2 / (2 s_i^2) over the coordinates of mask (B, D): (B, n)."""
        return -self.squared_distances(x, mask) / (2 * self.squared_bandwidths)


def find_parzen(product: ProductOfExperts) -> Parzen | None:
    """The mixture of the kernel expert whose widths differ least (then: of the largest share), in the coordinates of
    x; None where there is no such expert.

    That is a `KernelEnergy`, widened by its expert's noise level, or a `KernelViews`, whose centres then have the
    median width in x.

    Its kernels get equal mass. `KernelEnergy` gives kernels of different widths equal height instead, which ranks well,
    but puts nearly all of the mass, s_i^D, at the widest, i.e. at training rows that are themselves odd.
    """
    found: list[tuple[float, float, Parzen]] = []
    for expert, scale in zip(product.experts, product.scales.tolist(), strict=True):
        term = product.terms[expert.term]
        parzen: Parzen | None = None
        if isinstance(term, KernelEnergy):
            parzen = Parzen(term.centres, term.squared_bandwidths)
        elif isinstance(term, KernelViews):
            parzen = Parzen(term.centres, term.width.expand(len(term.centres)), term.masses.log())
        if parzen is not None and len(parzen.centres):
            widths = parzen.squared_bandwidths + (expert.sigma or 0.0) ** 2
            spread = float(widths.log().std(correction=0))
            found.append((spread, -expert.weight / scale, parzen._replace(squared_bandwidths=widths)))
    return min(found, key=lambda one: one[:2])[2] if found else None


def nearest(rows: Tensor, x: Tensor, k: int) -> Tensor:
    """The k (or all) of rows (n, D) nearest to each row of x (B, D): (B, k, D), nearest first."""
    return rows[squared_distances(x, rows).topk(min(k, len(rows)), largest=False).indices]
