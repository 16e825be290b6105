"""Kernel energies in several views of the columns, at several bandwidths, as one product of experts."""

from __future__ import annotations

import copy
import math
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ebm.config import Frozen
from ebm.energies.foreseen import foreseen_loss
from ebm.energies.inducing import inducing_points, sample
from ebm.energies.kernel import squared_distances
from ebm.energies.kernel_experts import EXPERTS, parzen_energies
from ebm.energies.near_field import NearField
from ebm.energies.pseudo_anomalies import auroc, pseudo_anomalies
from ebm.energies.views import View, ViewName
from ebm.errors import BadInput

SHARPNESS = 15.0
MAX_LOSS = 0.015
CELLS = 262_144  # distances at a time: few enough for the cache
AUTO_FROM, AUTO_INDUCING = 10_000, 768
FAR = 2e19  # its square is infinite in float32, its products are not: infinities would cancel to NaN


class KernelViewsConfig(Frozen):
    """`max_rows`: at most so many training rows are kept as kernel centres, drawn evenly.

    `n_inducing`: compress them to so many weighted centres. None: keep all. "auto", where there are more than 10,000:
    768 unless a label-free check foresees a loss, else a near field unless one is foreseen there too, else all.

    `weighting`: experts count by how well each tells training rows from pseudo-anomalies made of them, or all alike.
    """

    kind: Literal["kernel_views"] = "kernel_views"
    offers: ClassVar[frozenset[str]] = frozenset({"fitted", "fitted_only"})
    views: tuple[ViewName, ...] = Field(default=("standard", "quantile", "tail"), min_length=1)
    neighbour: int = Field(default=5, ge=1)
    weighting: Literal["pseudo_anomalies", "equal"] = "pseudo_anomalies"
    max_rows: int = Field(default=50_000, ge=100)
    n_inducing: Annotated[int, Field(ge=16)] | Literal["auto"] | None = "auto"

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        return KernelViews(shape, self)


class KernelViews(nn.Module):
    """E(x) = sum_k w_k (E_k(x) - mean_k) / sd_k over experts k = (view g, alpha, f), with

        E_k(x) = -log sum_i n_i exp(-|g(x) - g(x_i)|^2 / (2 s_i^2)),   s_i^2 = f (2 m / d (r_i / m)^alpha + v_i).

    r_i is the squared distance of training row i to its 5th neighbour in the view, m its median (at least .001 d),
    r_i at least .05 m; alpha is 0, 1/2 or 1 (an adaptive bandwidth: Breiman, Meisel and Purcell 1977), f is 1 or 4.
    Each E_k is minus the log density of Parzen (1962) up to a constant where alpha = 0, and the exact optimum of
    denoising score matching at noise s (Vincent 2011). mean_k and sd_k are those of the leave-one-out energies of the
    training rows. n_i = 1 and v_i = 0, but for a compressed energy, whose centres stand for n_i rows each, at mean
    squared distance v_i d from them.

    w_k is proportional to exp(15 (a_k - max a)), with a_k the AUROC of E_k at telling training rows (left out) from
    pseudo-anomalies, see `pseudo_anomalies`; labels are never used.

    x is (B, *shape), flattened; the answer is (B,).

    Raises:
        BadInput: `fit` got fewer than 2 rows, or the energy is used before `fit`.
    """

    noise_conditional = False
    centres: Tensor  # (M, d) training rows
    masses: Tensor  # (M,)
    radii: Tensor  # (V, M): r_i, floored
    spreads: Tensor  # (V, M): v_i
    typical: Tensor  # (V,): m
    means: Tensor  # (V, K)
    sds: Tensor
    weights: Tensor
    width: Tensor  # (): squared bandwidth in the coordinates of x itself, for whoever needs one mixture there

    def __init__(self, shape: tuple[int, ...], config: KernelViewsConfig):
        super().__init__()
        self.config = config
        self.dim = math.prod(shape)
        self.views = nn.ModuleList(View(name, self.dim) for name in config.views)
        n_views, k = len(config.views), len(EXPERTS)
        for name, size in (("centres", (0, self.dim)), ("masses", (0,))):
            self.register_buffer(name, torch.zeros(size))
        for name in ("radii", "spreads"):
            self.register_buffer(name, torch.zeros(n_views, 0))
        self.register_buffer("typical", torch.ones(n_views))
        self.register_buffer("width", torch.ones(()))
        self.register_buffer("means", torch.zeros(n_views, k))
        self.register_buffer("sds", torch.ones(n_views, k))
        self.register_buffer("weights", torch.full((n_views, k), 1 / (n_views * k)))
        self.near_field = NearField()
        self._mapped: list[Tensor] | None = None
        self.notes: tuple[str, ...] = ()

    # -- fitting ----------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Keep rows of x (N, *shape) as centres; set bandwidths, standardisation and weights."""
        flat = x.flatten(1)
        if len(flat) < 2:
            raise BadInput(f"the kernel energy needs at least 2 training rows, got {len(flat)}")
        for view in self.views:
            view.fit(flat)  # type: ignore[operator]
        kept = flat[sample(len(flat), self.config.max_rows)]
        self._keep(kept, torch.ones(len(kept), dtype=x.dtype), None)
        few = kept[sample(len(kept), 2000)]
        self.width = (self._radii(few).median() / self.dim).clamp_min(1e-6)
        own = sample(len(kept), 5000)
        self._standardise(self.expert_energies(kept[own], own=own))
        if self.config.weighting == "pseudo_anomalies" and len(kept) >= 20:
            self.weights = self._pseudo_weights(kept[sample(len(kept), 1500)])
        self._compress_as_configured(kept)

    def _compress_as_configured(self, kept: Tensor) -> None:
        wanted, n = self.config.n_inducing, len(kept)
        if wanted != "auto":
            if wanted is not None and n > wanted:
                self.compress(wanted)
            return
        if n <= AUTO_FROM:
            return
        foreseen = []
        for name in ("inducing points", "near field"):
            smaller = copy.deepcopy(self)
            smaller.compress(AUTO_INDUCING) if name == "inducing points" else smaller.group()
            loss = foreseen_loss(self, smaller, kept)
            foreseen.append(f"{name}: {loss:.2%} AUROC")
            if loss <= MAX_LOSS:
                self.load_state_dict(smaller.state_dict())
                break
        else:
            name = "all"
        self.notes = (f"{n} training rows scored by {name} (foreseen cost of {'; '.join(foreseen)})",)

    @torch.no_grad()
    def compress(self, n_inducing: int) -> None:
        """Replace the centres by `n_inducing` of them that stand for the rest, in place."""
        mapped = self._centres()
        points = inducing_points(torch.cat(mapped, 1), n_inducing)
        spreads = [points.spread(g) / self.dim for g in mapped]
        typical = self.typical
        self._keep(self.centres[points.index], points.masses, self.radii[:, points.index])
        self.spreads, self.typical = torch.stack(spreads), typical

    @torch.no_grad()
    def group(self) -> None:
        """Keep all centres, but let a row meet the far ones list by list (`NearField`), in place."""
        order = self.near_field.fit(self._centres())
        typical = self.typical
        self._keep(self.centres[order], self.masses[order], self.radii[:, order])
        self.typical = typical

    def _keep(self, rows: Tensor, masses: Tensor, radii: Tensor | None) -> None:
        self.centres, self.masses, self._mapped = rows.clone(), masses, None
        mapped = self._centres()
        self.radii = radii if radii is not None else torch.stack([self._radii(g) for g in mapped])
        self.spreads = torch.zeros_like(self.radii)
        # The floor on r_i is .05 m, which leaves the median where it was.
        self.typical = self.radii.median(1).values.clamp_min(1e-3 * self.dim)

    def _radii(self, g: Tensor) -> Tensor:
        """r_i, floored; duplicates make neighbour distances 0."""
        from sklearn.neighbors import NearestNeighbors  # slow to import, and needed only here

        k = min(self.config.neighbour, len(g) - 1)
        rows = g.cpu().numpy()
        distances, _ = NearestNeighbors(n_neighbors=k + 1).fit(rows).kneighbors(rows)
        r = torch.from_numpy(distances[:, -1]).to(g).square()
        return r.clamp_min(0.05 * float(r.median().clamp_min(1e-3 * self.dim)))

    def _standardise(self, energies: Tensor) -> None:
        """energies (n, V, K) of training rows left out."""
        self.means = energies.mean(0)
        self.sds = energies.std(0).clamp_min(1e-6)

    def _pseudo_weights(self, rows: Tensor) -> Tensor:
        small = KernelViews((self.dim,), self.config.model_copy(update={"weighting": "equal"}))
        small.views = self.views
        small._keep(rows, torch.ones(len(rows), dtype=rows.dtype), None)
        normal = small.expert_energies(rows, own=torch.arange(len(rows))).flatten(1)
        kinds = pseudo_anomalies(rows, n=min(600, 4 * len(rows)), seed=0).values()
        fakes = [small.expert_energies(fake).flatten(1) for fake in kinds]
        a = torch.tensor(
            [[auroc(normal[:, k], fake[:, k]) for k in range(normal.shape[1])] for fake in fakes]
        ).mean(0)
        w = torch.exp(SHARPNESS * (a - a.max()))
        return (w / w.sum()).to(rows.dtype).reshape(self.weights.shape)

    # -- energies ---------------------------------------------------------------------------------------------------

    def expert_energies(self, x: Tensor, own: Tensor | None = None) -> Tensor:
        """(B, V, K) raw energies of the experts; `own` (B,) is the centre that each row itself is, to be left out."""
        if len(self.centres) == 0:
            raise BadInput("the kernel energy has no training rows: call fit first")
        if len(self.near_field):
            return self._by_list(x, own)
        # Whole multiples of 16: products of a few rows round otherwise than those of many.
        size = max(16, min(1024, CELLS // len(self.centres) // 16 * 16))
        owners = [None] * len(x) if own is None else own.split(size)
        parts = [
            self._parzen([view(rows) for view in self.views], mine)
            for rows, mine in zip(x.split(size), owners, strict=False)
        ]
        return torch.cat(parts) if parts else x.new_zeros(0, *self.weights.shape)

    def _by_list(self, x: Tensor, own: Tensor | None) -> Tensor:
        """Rows of one list meet the same centres, and are taken together."""
        mapped = [view(x) for view in self.views]
        cells = self.near_field.assign(torch.cat([g.detach() for g in mapped], 1))
        out, places = [], []
        for cell in cells.unique().tolist():
            centres = self.near_field.centres(cell)
            for rows in torch.nonzero(cells == cell).squeeze(1).split(256):
                mine = None if own is None else own[rows]
                out.append(self._parzen([g[rows] for g in mapped], mine, centres))
                places.append(rows)
        if not out:
            return x.new_zeros(0, *self.weights.shape)
        return torch.cat(out)[torch.cat(places).argsort()]

    def _parzen(
        self, mapped: list[Tensor], own: Tensor | None, some: tuple[Tensor, Tensor] | None = None
    ) -> Tensor:
        """(B, V, K) for rows in each view; `some`: places and masses of the only centres to meet."""
        place = slice(None) if some is None else some[0]
        masses = self.masses if some is None else some[1]
        mask = None
        if own is not None:
            known = torch.arange(len(self.centres), device=own.device)[place]
            mask = known[None] == own[:, None]
        parts = [
            parzen_energies(
                squared_distances(g.clamp(-FAR, FAR), centres[place]),
                self.radii[v][place],
                self.spreads[v][place],
                masses,
                self.typical[v],
                self.dim,
                mask,
            )
            for v, (g, centres) in enumerate(zip(mapped, self._centres(), strict=True))
        ]
        return torch.stack(parts, 1)

    def _centres(self) -> list[Tensor]:
        if self._mapped is None:
            self._mapped = [view(self.centres) for view in self.views]
        return self._mapped

    def combine(self, energies: Tensor) -> Tensor:
        """(B, V, K) -> (B,): the weighted sum of standardised experts."""
        return ((energies - self.means) / self.sds * self.weights).sum((1, 2))

    def forward(self, x: Tensor, sigma: Tensor | float | None = None) -> Tensor:
        if sigma is not None:
            raise BadInput("the kernel energy over views has no noise levels: call it without sigma")
        return self.combine(self.expert_energies(x.flatten(1)))

    @torch.no_grad()
    def leave_one_out(self, x: Tensor, own: Tensor | None = None, sigma: float | None = None) -> Tensor:
        """(N,) energies of rows x (N, *shape) that were kept in `fit`, each as if it had not been.

        In a compressed energy a row takes its mass, 1, from the centre that stands for it: the nearest, so that `own`,
        which of the fitted rows they are, need not be told.
        """
        del own, sigma
        flat = x.flatten(1)
        return torch.cat(
            [self.combine(self.expert_energies(part, own=self._nearest(part))) for part in flat.split(1024)]
        )

    def _nearest(self, x: Tensor) -> Tensor:
        """As `inducing_points` assigns them."""
        mapped = torch.cat([view(x) for view in self.views], 1)
        centres = torch.cat(self._centres(), 1)
        size = max(16, CELLS // len(centres))
        return torch.cat([squared_distances(p, centres).argmin(1) for p in mapped.split(size)])

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        self._mapped = None  # the cache follows the buffers to another device or type
        return super()._apply(fn, recurse)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        # The number of centres is the data's, so buffers take the stored size before they are filled.
        self._mapped = None
        for name in ("centres", "masses", "radii", "spreads"):
            stored = state_dict.get(prefix + name)
            if stored is not None:
                setattr(self, name, stored.new_empty(stored.shape))
        super()._load_from_state_dict(state_dict, prefix, *args)
