"""The three roles of the library, and what they hand to each other.

An energy E(x) is unnormalised and lower for normal data: p(x) is proportional to exp(-E(x)).
The energy is an argument to samplers and objectives; neither of them holds a model.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, runtime_checkable

from torch import Generator, Tensor


@runtime_checkable
class Energy(Protocol):
    """x (B, ...) -> E(x) (B,), float32. Noise-conditional energies also take sigma, (B,) or a float."""

    def __call__(self, x: Tensor, sigma: Tensor | float | None = None) -> Tensor: ...


class EnergyFn(Protocol):
    """An energy with everything but x fixed, which is all that a sampler needs."""

    def __call__(self, x: Tensor, /) -> Tensor: ...


class StepInfo(NamedTuple):
    """What one sampler step reports about each chain.

    energy: (B,) E at the point the step started from.
    gradient_norm: (B,) norm of the (clipped, where clipping is on) energy gradient there.
    accepted: (B,) bool, for samplers with a Metropolis correction; else None.
    """

    energy: Tensor
    gradient_norm: Tensor
    accepted: Tensor | None = None


class Sampler(Protocol):
    """Moves chains: x (B, ...) -> x (B, ...). Randomness comes only from `generator`."""

    def step(self, energy: EnergyFn, x: Tensor, generator: Generator) -> tuple[Tensor, StepInfo]: ...


class LossOutput(NamedTuple):
    """A scalar to minimise, and figures for the log ('real', 'fake', 'gap', ... as plain floats)."""

    loss: Tensor
    metrics: dict[str, float]


class Objective(Protocol):
    """Turns an energy and a batch of data x (B, ...) into a loss over the energy's parameters.

    It may also have, and the trainer then uses:
    prepare(energy, x, generator): called once before the first step, with up to 4,096 training rows x on the device.
    partner: an nn.Module that the same loss trains beside the energy (a generator, a flow, a constant), made by
        `prepare` at the latest; its learning rate is `partner_rate` (default 1) times the energy's. It is saved and
        resumed with the run, and thrown away after it.
    labelled: True where it is called with `labels`, (B,) int64, the classes of x; -1 for a row without one.
    conclude(energy): called after the last step, with the averaged weights in the energy, the last ones in `partner`.
    """

    def __call__(self, energy: Any, x: Tensor, generator: Generator) -> LossOutput: ...

    def state_dict(self) -> dict[str, Tensor]: ...

    def load_state_dict(self, state: dict[str, Tensor]) -> None: ...
