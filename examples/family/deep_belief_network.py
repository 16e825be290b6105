"""A deep belief network: restricted Boltzmann machines stacked, each trained on what the one below makes of the data.

A second layer that begins as the first one upside down changes nothing; training it can only raise the bound.
"""

from __future__ import annotations

from typing import Any

import torch

from ebm.data import load_builtin
from ebm.energies import DeepBeliefNetwork
from ebm.evaluation.enumeration import rbm_log_z
from ebm.objectives import GreedyConfig

N_HIDDEN = 16  # few enough that log Z of the top machine is a sum over 2^16 states


def train(network: Any, config: GreedyConfig, x: torch.Tensor, n_steps: int, rate: float) -> None:
    """One layer: contrastive divergence on the activities that the layers below send up."""
    generator = torch.Generator().manual_seed(config.layer)
    objective = config.build()
    objective.prepare(network, x, generator)
    optimizer = torch.optim.Adam(network.layer(config.layer - 1).parameters(), lr=rate)
    for i in range(n_steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * (1 - i / n_steps)
        batch = x[torch.randint(len(x), (100,), generator=generator)]
        optimizer.zero_grad()
        objective(network, batch, generator).loss.backward()
        optimizer.step()


def main(quick: bool = False) -> dict[str, float]:
    torch.manual_seed(0)
    images = torch.as_tensor(load_builtin("digits").values, dtype=torch.float32)
    x = (images.reshape(-1, 64) >= 8).float()

    network = DeepBeliefNetwork((64,), hidden=(N_HIDDEN, 64))
    network.fit(x)
    n_steps = 30 if quick else 1500

    def bound() -> float:
        """Minus the energy is a lower bound on log p*(x); Z is the top machine's."""
        with torch.no_grad():
            return float(-network(x).mean()) - rbm_log_z(network.layer(1))

    train(network, GreedyConfig(layer=1, persistent=True, buffer_size=200), x, n_steps, 0.01)
    with torch.no_grad():
        one = float(-network.layer(0)(x).mean()) - rbm_log_z(network.layer(0))
    print(f"one layer, exactly: {one:.2f} nats a digit")

    upper = GreedyConfig(layer=2, tied=True, persistent=True, buffer_size=200)
    upper.build().prepare(network, x, torch.Generator())
    tied = bound()
    print(f"a second layer, tied to the first: {tied:.2f}, the same")

    train(network, upper, x, n_steps, 0.003)
    both = bound()
    print(f"the second layer trained: at least {both:.2f}")

    # Drawing: Gibbs sampling at the top, one pass down.
    generator = torch.Generator().manual_seed(1)
    drawn = x[:6]
    for _ in range(5 if quick else 100):
        drawn = network.gibbs(drawn, generator)
    for line in range(8):
        pixels = drawn[:, 8 * line : 8 * line + 8]
        print("   ".join("".join("#" if p else "." for p in one) for one in pixels))
    return {"one_layer": one, "tied": tied, "two_layers": both}


if __name__ == "__main__":
    main()
