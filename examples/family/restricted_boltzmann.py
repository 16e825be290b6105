"""A restricted Boltzmann machine: hidden units summed out, Gibbs sampling, and contrastive divergence.

The machine is small enough to count all of its states, so that everything can be checked.
"""

from __future__ import annotations

import torch

from ebm.energies import RestrictedBoltzmannMachine
from ebm.energies.binary_units import binary_states
from ebm.objectives import ContrastiveDivergence
from ebm.samplers import Gibbs


def bars(n: int, generator: torch.Generator) -> torch.Tensor:
    """n pictures of 3 x 3 pixels with one lit row or one lit column, as rows of 9 (MacKay 2003, chapter 43)."""
    which = torch.randint(0, 3, (n,), generator=generator)
    lit = torch.nn.functional.one_hot(which, 3).float()
    lying = lit[:, :, None].expand(n, 3, 3)
    standing = torch.rand(n, generator=generator) < 0.5
    return torch.where(standing[:, None, None], lying.transpose(1, 2), lying).reshape(n, 9)


def main(quick: bool = False) -> dict[str, float]:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    x = bars(1000, generator)

    # The energy of a row is its free energy: all 2^8 states of the hidden units are summed, in closed form.
    energy = RestrictedBoltzmannMachine((9,), n_hidden=8)
    energy.fit(x)  # the visible biases that give each pixel its mean

    # Gibbs sampling draws all hidden units given the pixels, then all pixels given the hidden units.
    # The negatives are one such sweep away from the data. (Persistent chains, which go on from batch to batch, follow
    # the likelihood more closely where they mix; between these six bars they hardly ever pass.)
    objective = ContrastiveDivergence(Gibbs(), k_steps=1)

    every_picture = binary_states(9)  # all 512 of them: the partition function is a sum

    def log_likelihood() -> float:
        with torch.no_grad():
            return float(-energy(x).mean() - (-energy(every_picture)).logsumexp(0))

    before = log_likelihood()
    n_steps = 60 if quick else 2000
    optimizer = torch.optim.Adam(energy.parameters(), lr=0.02)
    for i in range(n_steps):
        for group in optimizer.param_groups:
            group["lr"] = 0.02 * (1 - i / n_steps)
        batch = x[torch.randint(len(x), (100,), generator=generator)]
        optimizer.zero_grad()
        objective(energy, batch, generator).loss.backward()
        optimizer.step()
    after = log_likelihood()
    print(f"mean log-likelihood: {before:.2f} nats with independent pixels, {after:.2f} after training,")
    print(f"and {-torch.log(torch.tensor(6.0)):.2f} would be that of six bars and nothing else")

    # What the model itself believes: chains from coin tosses.
    drawn = torch.randint(0, 2, (500, 9), generator=generator).float()
    for _ in range(20 if quick else 500):
        drawn = energy.gibbs(drawn, generator)
    bar = (drawn[:, None] == bars(200, generator).unique(dim=0)).all(2).any(1)
    print(f"{100 * bar.float().mean():.0f}% of 500 samples are exactly a bar; 1.2% of coin tosses are")
    for line in range(3):
        print(
            "   ".join("".join("#" if p else "." for p in one[3 * line : 3 * line + 3]) for one in drawn[:8])
        )
    return {"before": before, "after": after, "bars": float(bar.float().mean())}


if __name__ == "__main__":
    main()
