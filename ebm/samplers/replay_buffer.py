"""Chains that outlive a training step."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from ebm.errors import BadConfig

Fresh = Callable[[int, Generator], Tensor]


class ReplayBuffer:
    """The states of `size` persistent chains, a small share of which starts anew at every draw.

    Filled with fresh starts at the first draw. A draw takes n different chains, so that writing them back
    never collides, and replaces each by a fresh start with probability `fresh_share`.

    Args:
        size: number of chains kept.
        fresh_share: probability of a fresh start, in [0, 1].

    Raises:
        BadConfig: an argument is out of range.

    Source: Tieleman (2008), persistent chains; Du and Mordatch (2019), the buffer with restarts.
    """

    def __init__(self, size: int, fresh_share: float = 0.05):
        if size < 1:
            raise BadConfig(f"ReplayBuffer: size must be at least 1, not {size}")
        if not 0 <= fresh_share <= 1:
            raise BadConfig(f"ReplayBuffer: fresh_share must lie in [0, 1], not {fresh_share}")
        self.size = size
        self.fresh_share = fresh_share
        self._states: Tensor | None = None

    def __len__(self) -> int:
        """Chains held: 0 before the first draw, then `size`."""
        return 0 if self._states is None else self.size

    def sample(self, n: int, fresh: Fresh, generator: Generator) -> tuple[Tensor, Tensor]:
        """Starts of n chains.

        Args:
            n: at most `size`.
            fresh: (count, generator) -> new starts (count, ...).
            generator: on the device of the starts.

        Returns:
            x (n, ...), a copy, and the chains' places (n,), int64, all different, to hand to `update`.

        Raises:
            BadConfig: n is larger than the buffer.
        """
        if not 0 <= n <= self.size:
            raise BadConfig(f"ReplayBuffer: cannot draw {n} chains from a buffer of {self.size}")
        if self._states is None:
            self._states = fresh(self.size, generator).detach().clone()
        device = self._states.device
        idx = torch.randperm(self.size, generator=generator, device=device)[:n]
        x = self._states[idx]
        restart = torch.rand(n, generator=generator, device=device) < self.fresh_share
        count = int(restart.sum())
        if count:
            x[restart] = fresh(count, generator).detach().to(x)
        return x, idx

    def update(self, idx: Tensor, x: Tensor) -> None:
        """Write the moved chains x (n, ...) back to their places idx (n,)."""
        if self._states is None:
            raise BadConfig("ReplayBuffer: update before the first sample")
        self._states[idx] = x.detach().to(self._states)

    def state_dict(self) -> dict[str, Tensor]:
        """A copy of the states, {"states": (size, ...)}; empty before the first draw."""
        return {} if self._states is None else {"states": self._states.clone()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take over what `state_dict` gave.

        Raises:
            BadConfig: the states are those of a buffer of another size.
        """
        states = state.get("states")
        if states is not None and len(states) != self.size:
            raise BadConfig(f"ReplayBuffer: the checkpoint holds {len(states)} chains, not {self.size}")
        self._states = None if states is None else states.clone()
