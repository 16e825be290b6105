"""Exponential families: energies whose partition function is no problem, and what maximum likelihood does to them.

    python examples/family/exponential_families.py

E(x) = -eta . T(x) - log h(x) has log Z = A(eta) in closed form. The gradient of the log-likelihood is the mean of T
over the data less its mean under the model: at the maximum the two agree, which is what `fit` solves for.
"""

from __future__ import annotations

import math

import torch

from ebm.energies import ExponentialFamilyConfig
from ebm.energies.families import FamilyName
from ebm.objectives import DenoisingScoreMatching

FAMILIES: tuple[FamilyName, ...] = ("gaussian", "laplace", "gamma", "exponential")


def main(quick: bool = False) -> dict[str, float]:
    generator = torch.Generator().manual_seed(0)
    figures = {}

    # Waiting times for the third of several events: gamma distributed, of shape 3.
    waits = torch.rand(4000, 3, generator=generator).log().neg().sum(1, keepdim=True)
    print("family        log Z    mean log p of 4,000 waiting times")
    for family in FAMILIES:
        energy = ExponentialFamilyConfig(family=family).build((1,))
        energy.fit(waits)  # type: ignore[operator]
        with torch.no_grad():
            log_z = float(energy.log_z)  # type: ignore[arg-type]
            log_p = float((-energy(waits) - log_z).mean())
        print(f"{family:12} {log_z:6.3f}   {log_p:.4f}")
        figures[family] = log_p
    print("the gamma family holds the truth, and has the highest likelihood")

    # The same parameters can be learnt without Z, by an objective: here by the score function alone.
    x = torch.randn(5000, 2, generator=generator) @ torch.tensor([[1.0, 0.8], [0.0, 0.6]])
    learnt, exact = (ExponentialFamilyConfig(family="gaussian").build((2,)) for _ in range(2))
    exact.fit(x)  # type: ignore[operator]
    objective, optimizer = DenoisingScoreMatching(0.1), torch.optim.Adam(learnt.parameters(), lr=0.02)
    for _ in range(20 if quick else 600):
        batch = x[torch.randint(len(x), (256,), generator=generator)]
        optimizer.zero_grad()
        objective(learnt, batch, generator).loss.backward()
        optimizer.step()
    with torch.no_grad():
        for name, energy in (("maximum likelihood", exact), ("score matching", learnt)):
            log_p = float((-energy(x) - energy.log_z).mean())  # type: ignore[operator]
            print(f"Gaussian by {name:18}: {-log_p / (2 * math.log(2)):.4f} bits per dimension")
            figures[name] = log_p
    return figures


if __name__ == "__main__":
    main()
