"""The partition function from both sides: annealed importance sampling, forward and in reverse.

    python examples/family/partition_function.py

An energy gives p(x) = exp(-E(x)) / Z but for Z. Importance sampling from a Gaussian finds Z where the Gaussian is near
the model; annealing walks there in many small steps. Forward it errs to the low side; from samples of the model back
it errs to the high side: the truth lies between, and here it is known.
"""

from __future__ import annotations

import torch

from ebm.energies.analytic import GaussianMixture
from ebm.energies.rbm import RestrictedBoltzmannMachine
from ebm.evaluation.ais import bracket, forward, sigmoid_schedule
from ebm.evaluation.binary_paths import GibbsPath
from ebm.evaluation.enumeration import rbm_log_z
from ebm.evaluation.paths import GaussianBase, GaussianPath


def main(quick: bool = False) -> dict[str, float]:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    n_temperatures, n_chains = (20, 30) if quick else (500, 100)
    figures = {}

    # 1. Two modes in 32 dimensions. The energy is normalised, then raised by 5: log Z = -5.
    means = torch.zeros(2, 32)
    means[:, 0] = torch.tensor([-3.0, 3.0])
    mixture = GaussianMixture(means, sds=torch.tensor([0.5, 1.0]), weights=torch.tensor([0.3, 0.7]))
    samples = mixture.sample(n_chains, generator)

    base = GaussianBase.fit(mixture.sample(1000, generator))
    path = GaussianPath(lambda x: mixture(x) + 5, base)
    at_once = forward(path, n_chains * n_temperatures, [0.0, 1.0], generator)
    temperatures = path.tune(n_temperatures, generator).tolist()  # step sizes too, by chains of their own
    found = bracket(path, n_chains, temperatures, generator, samples=samples)
    print("two modes in 32 dimensions: log Z is -5")
    print(f"  importance sampling, as many energies  {at_once.log_z:8.3f} +- {at_once.standard_error:.3f}")
    print(f"  annealed, from both sides              {found.log_z:8.3f} +- {found.standard_error:.3f}")
    print(
        f"    forward {found.forward.log_z:.3f} (of {n_chains} chains {found.forward.ess:.0f} count), ",
        end="",
    )
    print(f"reverse {found.reverse.log_z:.3f}")
    figures |= {"importance": at_once.log_z, "mixture": found.log_z, "mixture_gap": found.gap}

    # 2. A restricted Boltzmann machine of 15 x 10 units with large weights: 2^10 hidden states can be enumerated.
    machine = RestrictedBoltzmannMachine((15,), 10)
    with torch.no_grad():
        machine.weight.normal_(0, 1.5)
    exact = rbm_log_z(machine)
    steps = sigmoid_schedule(n_temperatures).tolist()
    found = bracket(GibbsPath(machine, torch.zeros(15)), n_chains, steps, generator)
    print(f"restricted Boltzmann machine: log Z is {exact:.3f}")
    print(f"  annealed by Gibbs sampling             {found.log_z:8.3f} +- {found.standard_error:.3f}")
    figures |= {"machine_exact": exact, "machine": found.log_z}
    return figures


if __name__ == "__main__":
    main()
