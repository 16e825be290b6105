"""Near field exactly, far field by inducing points: which of many centres a row has to be compared with."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from ebm.energies.inducing import inducing_points
from ebm.energies.kernel import squared_distances

N_NEAR = 6


class NearField(nn.Module):
    """Lists of neighbouring centres. A row in list l meets the members of l and of the 5 lists nearest to it one by
    one, and every other list as one centre of the list's mass (the idea of the fast Gauss transform, Greengard and
    Strain 1991, with k-means lists as in inverted-file search, Jegou et al. 2011). The far kernels stay as narrow as
    their centre's own: widened by the list's spread they would reach rows that are far from everything.

    Empty until `fit`; `order` then says how the caller must sort the centres.
    """

    heads: Tensor  # (L, D) the row that stands for each list, in the coordinates that `fit` was given
    index: Tensor  # (L,) its place among the centres
    starts: Tensor  # (L + 1,) where each list begins and ends
    near: Tensor  # (L, P) the lists met one by one
    masses: Tensor  # (L,)

    def __init__(self) -> None:
        super().__init__()
        for name, shape, kind in (
            ("heads", (0, 0), torch.float32),
            ("index", (0,), torch.long),
            ("starts", (0,), torch.long),
            ("near", (0, N_NEAR), torch.long),
            ("masses", (0,), torch.float32),
        ):
            self.register_buffer(name, torch.zeros(shape, dtype=kind))

    def __len__(self) -> int:
        return len(self.index)

    @torch.no_grad()
    def fit(self, mapped: list[Tensor]) -> Tensor:
        """Make about sqrt(N) lists of rows given in each view, V times (N, d); the order (N,) to sort them by."""
        joint = torch.cat(mapped, 1)
        points = inducing_points(joint, round(math.sqrt(len(joint))))
        order = points.member.argsort(stable=True)
        place = torch.empty_like(order)
        place[order] = torch.arange(len(order))
        self.heads, self.index, self.masses = joint[points.index], place[points.index], points.masses
        self.starts = torch.cat([torch.zeros(1, dtype=torch.long), points.masses.long().cumsum(0)])
        apart = squared_distances(self.heads, self.heads)
        self.near = apart.topk(min(N_NEAR, len(apart)), largest=False).indices
        return order

    def assign(self, joint: Tensor) -> Tensor:
        """(B,): the list of each row (B, D)."""
        return torch.cat([squared_distances(part, self.heads).argmin(1) for part in joint.split(1024)])

    def centres(self, cell: int) -> tuple[Tensor, Tensor]:
        """For rows of a list: places (M,) of the centres that they meet, and their masses (M,)."""
        near = self.near[cell]
        members = torch.cat(
            [torch.arange(int(self.starts[c]), int(self.starts[c + 1])) for c in near.tolist()]
        )
        far = torch.ones(len(self), dtype=torch.bool)
        far[near] = False
        places = torch.cat([members.to(self.index.device), self.index[far]])
        return places, torch.cat([self.masses.new_ones(len(members)), self.masses[far]])

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        for name in ("heads", "index", "starts", "near", "masses"):
            stored = state_dict.get(prefix + name)
            if stored is not None:
                setattr(self, name, stored.new_empty(stored.shape))
        super()._load_from_state_dict(state_dict, prefix, *args)
