"""JEM's objective: a classifier's cross-entropy, and a density objective on the energy of its logits."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Generator, Tensor

from ebm.config import Frozen
from ebm.objectives.cd import CDConfig
from ebm.objectives.dsm import DSMConfig
from ebm.objectives.pcd import PersistentCDConfig
from ebm.types import LossOutput, Objective

DensityConfig = Annotated[CDConfig | PersistentCDConfig | DSMConfig, Field(discriminator="kind")]


class JointObjectiveConfig(Frozen):
    """`cross_entropy_weight` of -log p(y | x), and `density_weight` of the objective `density` on E(x).

    `density_weight: 0` is the classifier alone, the control. `unlabelled`: the label of rows whose class is not known;
    they count in the density, not in the cross-entropy. `label_smoothing`: as in a classifier.
    """

    kind: Literal["joint"] = "joint"
    needs: ClassVar[frozenset[str]] = frozenset({"classes"})
    cross_entropy_weight: float = Field(default=1.0, ge=0)
    density_weight: float = Field(default=10.0, ge=0)
    density: DensityConfig = DSMConfig(sigma_min=0.4)
    unlabelled: str | None = None
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _learns(self) -> JointObjectiveConfig:
        if self.cross_entropy_weight == 0 and self.density_weight == 0:
            raise ValueError("'cross_entropy_weight' and 'density_weight' are both 0: nothing is learnt")
        if getattr(self.density, "sigma_max", None) is not None:
            raise ValueError("'density.sigma_max': a joint energy is of one noise level")
        return self

    @property
    def labelled(self) -> bool:
        """Whether training needs labels."""
        return self.cross_entropy_weight > 0

    def build(self) -> JointObjective:
        return JointObjective(
            self.density.build(), self.cross_entropy_weight, self.density_weight, self.label_smoothing
        )


class JointObjective:
    """a * mean over labelled rows of -log softmax_y(-E(x, y)) + b * L(E(x)), L any density objective.

    Together they are -log p(x, y) = -log p(y | x) - log p(x) (Grathwohl et al. 2020, eq. 8), whose first part needs no
    chains. There L is persistent contrastive divergence by 20 tempered Langevin steps, known to diverge; here it is
    whichever of `cd`, `persistent_cd` and `dsm` the configuration says.

    Called with an energy that has `class_energies`, x (B, ...), a generator and labels (B,) int64, -1 for a row without
    one; None for none at all. Gives a scalar loss; the figures are L's, with cross_entropy and accuracy of the rows
    with labels.
    """

    def __init__(
        self,
        density: Objective,
        cross_entropy_weight: float = 1.0,
        density_weight: float = 1.0,
        label_smoothing: float = 0.0,
    ):
        self.density, self.label_smoothing = density, label_smoothing
        self.labelled = cross_entropy_weight > 0
        self.cross_entropy_weight, self.density_weight = cross_entropy_weight, density_weight

    def __call__(
        self, energy: Any, x: Tensor, generator: Generator, labels: Tensor | None = None
    ) -> LossOutput:
        loss, metrics = x.new_zeros(()), dict[str, float]()
        if self.density_weight:
            density = self.density(energy, x, generator)
            loss, metrics = loss + self.density_weight * density.loss, dict(density.metrics)
        known = None if labels is None else labels >= 0
        if known is None or labels is None or not bool(known.any()):
            return LossOutput(loss, metrics)
        logits = -energy.class_energies(x[known])
        entropy = F.cross_entropy(logits, labels[known], label_smoothing=self.label_smoothing)
        hits = (logits.argmax(1) == labels[known]).float().mean()
        figures = {"cross_entropy": float(entropy.detach()), "accuracy": float(hits)}
        if not metrics:
            energies = -torch.logsumexp(logits.detach(), 1)
            figures |= {"real": float(energies.mean())}
        return LossOutput(loss + self.cross_entropy_weight * entropy, metrics | figures)

    def state_dict(self) -> dict[str, Tensor]:
        return self.density.state_dict()

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.density.load_state_dict(state)
