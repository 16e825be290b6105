"""Flow-contrastive estimation: data told from the draws of a flow, which learns to be mistaken for data."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Generator, Tensor, nn

from ebm.config import Frozen
from ebm.energies import log_z as learnt
from ebm.errors import BadConfig
from ebm.objectives.chains import unwrapped
from ebm.objectives.flow import Flow, FlowConfig
from ebm.objectives.frozen import frozen
from ebm.objectives.nce import both_figures, logistic_loss, solve_log_z
from ebm.types import LossOutput

MAX_COLUMNS = 64


class FlowContrastiveConfig(Frozen):
    """`flow`: the noise; `warmup`: steps in which it is trained by maximum likelihood, before it plays against the
    energy; `rate`: of the flow and of log Z, in that of the energy."""

    kind: Literal["flow_contrastive"] = "flow_contrastive"
    flow: FlowConfig = FlowConfig()
    warmup: int = Field(default=200, ge=0)
    rate: float = Field(default=1.0, gt=0)

    def build(self) -> FlowContrastive:
        return FlowContrastive(self.flow, self.warmup, self.rate)


class FlowContrastive:
    """min over E and log Z, max over the flow q, of V = mean softplus(-h(x)) + mean softplus(h(y)),

    h = -E - log Z - log q and y ~ q, as many as data rows x (Gao, Nijkamp, Kingma, Xu, Dai and Wu 2020, eq. 8). The
    energy and log Z see V with the noise held still, the flow sees -V with the energy held still, in one backward pass.
    At the saddle both are the density of the data. Against fixed noise that is far from the data, NCE learns little;
    here the noise comes near by itself. For the first `warmup` steps the flow maximises its likelihood instead.

    `partner` holds log Z and the flow, both made by `prepare`; `conclude` leaves log Z in the energy, as `nce` does.
    Called with an energy, x (B, d), d <= 64, and a generator.

    Raises:
        BadConfig: by `prepare`, where the data are no rows of at most 64 columns.
    """

    def __init__(self, flow: FlowConfig, warmup: int = 200, rate: float = 1.0):
        self.flow, self.warmup, self.partner_rate = flow, warmup, rate
        self.partner: FlowNoise | None = None

    def prepare(self, energy: Any, x: Tensor, generator: Generator) -> None:
        """Makes the flow for rows like x (N, d), and starts log Z where this energy has it."""
        if x.dim() != 2 or x.shape[1] > MAX_COLUMNS:
            raise BadConfig(
                f"objective kind 'flow_contrastive' is for rows of at most {MAX_COLUMNS} columns; the data have shape "
                f"{tuple(x.shape[1:])}"
            )
        seed = int(torch.randint(2**31 - 1, (1,), generator=generator, device=generator.device))
        self.partner = FlowNoise(Flow(self.flow, x, seed))
        self.rows, self.generator = x, generator
        self.partner.log_z.data.fill_(self._solved(energy))

    def __call__(self, energy: Any, x: Tensor, generator: Generator) -> LossOutput:
        partner = self._prepared()
        y, log_q_y = partner.flow.sample(len(x), generator)
        log_q_x = partner.flow.log_prob(x)
        both, log_q = torch.cat([x, y.detach()]), torch.cat([log_q_x, log_q_y])
        energies = energy(both)
        own = logistic_loss(-energies - partner.log_z - log_q.detach(), len(x))
        if int(partner.steps) < self.warmup:
            others = -log_q_x.mean()
        else:
            with frozen(unwrapped(energy)):
                fooled = torch.cat([energies[: len(x)].detach(), energy(y)])
            others = -logistic_loss(-fooled - partner.log_z.detach() - log_q, len(x))
        partner.steps += 1
        seen = {
            "log_z": float(partner.log_z.detach()),
            "logistic": float(own.detach()),
            "log_q": float(log_q_x.detach().mean()),
        }
        return LossOutput(own + others, both_figures(energies, len(x)) | seen)

    def conclude(self, energy: nn.Module) -> None:
        """log Z of the averaged weights, into the energy."""
        learnt.keep(energy, self._solved(energy))

    @torch.no_grad()
    def _solved(self, energy: Any) -> float:
        partner, x = self._prepared(), self.rows
        y, log_q = partner.flow.sample(len(x), self.generator)
        return solve_log_z(-energy(x) - partner.flow.log_prob(x), -energy(y) - log_q)

    def _prepared(self) -> FlowNoise:
        if self.partner is None:
            raise RuntimeError("call prepare first")
        return self.partner

    def state_dict(self) -> dict[str, Tensor]:
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        del state  # the partner holds all there is


class FlowNoise(nn.Module):
    """The flow, log Z, and for how many steps they were trained."""

    steps: Tensor

    def __init__(self, flow: Flow):
        super().__init__()
        self.flow = flow
        self.log_z = nn.Parameter(torch.zeros((), device=flow.mean.device))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64, device=flow.mean.device))
