"""A general Boltzmann machine without hidden units (the Ising model): couplings are learnt from what is seen together.

Without hidden units the log-likelihood has a single maximum, so that the couplings behind the rows can be found again.
"""

from __future__ import annotations

import torch

from ebm.energies import BoltzmannMachine
from ebm.energies.binary_units import binary_states
from ebm.energies.boltzmann import symmetric
from ebm.objectives import ContrastiveDivergence
from ebm.samplers import Gibbs


def main(quick: bool = False) -> dict[str, float]:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)

    # The truth: a ring of 8 units, each drawn to its two neighbours.
    truth = BoltzmannMachine((8,), n_hidden=0)
    with torch.no_grad():
        for i in range(8):
            a, b = sorted((i, (i + 1) % 8))
            truth.visible_coupling[a, b] = 1.5
        truth.visible_bias.fill_(-1.5)  # so that zeros and ones are equally frequent
        states = binary_states(8)
        p = (-truth(states)).softmax(0)
    x = states[torch.multinomial(p, 20_000, replacement=True, generator=generator)]

    # Correlation is not coupling: units that are not neighbours go together as well.
    correlation = torch.corrcoef(x.T)
    far = float(correlation[0, 2])
    print(f"correlation of neighbours {float(correlation[0, 1]):.2f}, of units two apart {far:.2f}")

    # Contrastive divergence: one sweep of Gibbs sampling away from the data, unit by unit.
    energy = BoltzmannMachine((8,), n_hidden=0)
    energy.fit(x)
    objective = ContrastiveDivergence(Gibbs(), k_steps=1)
    n_steps = 60 if quick else 600
    optimizer = torch.optim.Adam(energy.parameters(), lr=0.05)
    for i in range(n_steps):
        for group in optimizer.param_groups:
            group["lr"] = 0.05 * (1 - i / n_steps)
        batch = x[torch.randint(len(x), (500,), generator=generator)]
        optimizer.zero_grad()
        objective(energy, batch, generator).loss.backward()
        optimizer.step()

    found = symmetric(energy.visible_coupling).detach()
    error = float((found - symmetric(truth.visible_coupling).detach()).abs().max())
    print(
        f"coupling of neighbours {float(found[0, 1]):.2f} (truth 1.50), two apart {float(found[0, 2]):.2f} (0)"
    )
    print(f"largest error of all 28 couplings: {error:.2f}")
    return {"correlation_two_apart": far, "coupling_two_apart": float(found[0, 2]), "largest_error": error}


if __name__ == "__main__":
    main()
