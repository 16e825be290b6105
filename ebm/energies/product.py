"""Several energies as one: a product of experts, or their soft minimum."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ebm.energies.fixed import at_level
from ebm.energies.local_residual import local_residual
from ebm.energies.log_z import expect
from ebm.types import EnergyFn

Link = Literal["linear", "softplus", "soft_min"]


class Expert(NamedTuple):
    """One summand: energy `term`, evaluated at noise level `sigma` (None: noiseless), times `weight`; of `local`, the
    largest local residual of its denoising in place of its own energy."""

    term: str
    sigma: float | None
    weight: float
    local: bool = False

    def energy(self, term: Any, x: Tensor, /) -> Tensor:
        """x (B, ...) -> (B,), without the weight."""
        if self.local and self.sigma is not None:
            return local_residual(term, x, self.sigma)
        return term(x, sigma=self.sigma)


class ProductOfExperts(nn.Module):
    """E(x) = sum_k w_k E_k(x, sigma_k) / s_k, the energy of prod_k p_k(x)^(w_k / s_k) (Hinton 2002).

    With `link` softplus, E(x) = sum_k w_k softplus((E_k(x, sigma_k) - m_k) / s_k), m_k the mean over the same rows as
    s_k: an expert that finds a row ordinary then cannot make up for one that does not, as its energy falls below the
    usual. Sharper experts than a sum, for many experts of which each sees its own kind of fault.

    With `link` soft_min, E(x) = -T log sum_k (w_k / W) exp(-e_k(x) / T), e_k = (E_k(x, sigma_k) - m_k) / s_k, W = sum_k
    w_k, T = `temperature`: a mixture of the experts, normal where any of them says so (Du, Li and Mordatch 2020);
    towards T = 0 the least e_k. Weights must not be negative; centred, as energies have no zero of their own to compare
    by.

    s_k is the standard deviation of E_k over held-out normal rows, so that weights compare like with like; a single
    expert of weight 1 keeps s = 1, and E is then that expert's own energy.

    x is (B, *shape); the answer is (B,), float32.
    """

    scales: Tensor
    centres: Tensor

    def __init__(
        self,
        terms: dict[str, nn.Module],
        experts: list[Expert],
        link: Link = "linear",
        temperature: float = 1.0,
    ):
        super().__init__()
        self.link: Link = link
        self.temperature = temperature
        self.terms = nn.ModuleDict({name: expect(term) for name, term in terms.items()})
        self.experts = list(experts)
        self.register_buffer("scales", torch.ones(len(self.experts)))
        if link != "linear":
            self.register_buffer("centres", torch.zeros(len(self.experts)))

    def expert_energies(self, x: Tensor) -> Tensor:
        """(B, K): the raw energy of each expert."""
        return torch.stack([e.energy(self.terms[e.term], x) for e in self.experts], 1)

    @torch.no_grad()
    def standardise(self, energies: Tensor) -> None:
        """Set s_k, and m_k, from the experts' energies (N, K) of N >= 2 normal rows that they were not fitted to."""
        if self.link != "linear":
            self.centres.copy_(energies.mean(0))
        if len(self.experts) > 1 or self.link == "softplus":
            self.scales.copy_(energies.std(0).clamp_min(1e-6))

    def combine(self, energies: Tensor) -> Tensor:
        """(B, K) raw energies of the experts -> (B,)."""
        weights = torch.tensor([e.weight for e in self.experts], dtype=energies.dtype, device=energies.device)
        # Not a matrix product, which rounds a row differently with the number of rows beside it.
        if self.link == "softplus":
            return (F.softplus((energies - self.centres) / self.scales) * weights).sum(1)
        if self.link == "soft_min":
            e = (energies - self.centres) / self.scales
            shares = (weights / weights.sum()).log()
            return -self.temperature * torch.logsumexp(shares - e / self.temperature, 1)
        return (energies * (weights / self.scales)).sum(1)

    def forward(self, x: Tensor, sigma: Tensor | float | None = None) -> Tensor:
        return self.combine(self.expert_energies(x))

    @torch.no_grad()
    def at_levels(self) -> EnergyFn:
        """x -> E(x), fast on small batches; call it where the experts and their scales are final."""
        experts = [
            partial(e.energy, self.terms[e.term]) if e.local else at_level(self.terms[e.term], e.sigma)
            for e in self.experts
        ]
        if self.link != "linear":
            return lambda x, /: self.combine(torch.stack([expert(x) for expert in experts], 1))
        weights = torch.tensor([e.weight for e in self.experts], device=self.scales.device) / self.scales
        if len(experts) == 1 and float(weights[0]) == 1.0:
            return experts[0]

        def energy(x: Tensor, /) -> Tensor:
            return (torch.stack([expert(x) for expert in experts], 1) * weights).sum(1)

        return energy
