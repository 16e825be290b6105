"""InfoNCE: features by which the other view of a row is found among a batch."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Generator, Tensor

from ebm.augment import Augment, AugmentConfig
from ebm.config import Frozen
from ebm.errors import BadConfig
from ebm.objectives.row_views import RowViews, RowViewsConfig
from ebm.types import LossOutput

IMAGE_VIEWS = AugmentConfig(shift=1, rotate=10, scale=0.1, noise=0.1)


class InfoNCEConfig(Frozen):
    """`temperature`: of the softmax over a batch; `views`: of rows; `image_views`: of images, as `augment` has them."""

    kind: Literal["info_nce"] = "info_nce"
    needs: ClassVar[frozenset[str]] = frozenset({"embedding"})
    one_device: ClassVar[bool] = True  # the rows of a batch are compared with each other
    temperature: float = Field(default=0.2, gt=0)
    views: RowViewsConfig = RowViewsConfig()
    image_views: AugmentConfig = IMAGE_VIEWS

    def build(self) -> InfoNCE:
        return InfoNCE(self.temperature, self.views, self.image_views)


class InfoNCE:
    """-mean over 2B views i of log exp(s_ij / T) / sum over k != i of exp(s_ik / T), s = phi . phi, j the other view of
    i's row (van den Oord et al. 2018; with two augmented views of each: Chen et al. 2020, SimCLR, without its head).

    At the optimum s / T is, but for a constant, the log ratio of p(view | row) to p(view): an energy of pairs. It is
    no density of the data: what becomes of it is the kernel energy in feature space of energy kind `embedding`. The
    views say which differences matter: what they change, the features forget. Metrics: real and fake are minus the
    mean likeness of a pair and of others, accuracy is the share of views whose other is found first.

    Called with an energy that has `embed`, x (B, ...), B >= 2, and a generator.

    Raises:
        BadConfig: by `prepare`, where views of images change nothing.
    """

    def __init__(self, temperature: float, views: RowViewsConfig, image_views: AugmentConfig = IMAGE_VIEWS):
        self.temperature, self.views, self.image_views = temperature, views, image_views
        self.view: RowViews | Augment | None = None

    def prepare(self, energy: Any, x: Tensor, generator: Generator) -> None:
        """Learns the columns' spread from x (N, ...)."""
        del energy, generator
        if x.dim() == 4 and not self.image_views.is_on:
            raise BadConfig("objective kind 'info_nce': 'image_views' that change nothing teach nothing")
        self.view = self.image_views.build() if x.dim() == 4 else RowViews(self.views, x)

    def __call__(self, energy: Any, x: Tensor, generator: Generator) -> LossOutput:
        if self.view is None:
            raise RuntimeError("call prepare first")
        with torch.no_grad():
            both = torch.cat([self.view(x, generator), self.view(x, generator)])
        features = energy.embed(both)
        likeness = features @ features.T
        own = torch.eye(len(both), dtype=torch.bool, device=x.device)
        other = torch.arange(len(both), device=x.device).roll(len(x))
        logits = likeness.masked_fill(own, -torch.inf) / self.temperature
        loss = F.cross_entropy(logits, other)
        with torch.no_grad():
            pairs = likeness.gather(1, other[:, None]).squeeze(1)
            mean = float(pairs.mean())
            rest = (likeness.sum() - likeness.trace() - pairs.sum()) / max(1, len(both) * (len(both) - 2))
            figures = {
                "real": -mean,
                "fake": -float(rest),
                "gap": mean - float(rest),
                "spread": float(likeness.std()),
                "accuracy": float((logits.argmax(1) == other).float().mean()),
            }
        return LossOutput(loss, figures)

    def state_dict(self) -> dict[str, Tensor]:
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        del state  # nothing is carried from batch to batch
