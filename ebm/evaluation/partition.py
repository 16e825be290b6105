"""log Z of a model's energy: in closed form, by enumeration or a grid where that can be, else from both sides by
annealed importance sampling."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from ebm.energies.log_z import known as learnt_log_z
from ebm.errors import BadInput, Unsupported
from ebm.evaluation.ais import Bracket, Path, bracket_steps, sigmoid_schedule
from ebm.evaluation.asked import Asked, asked, known_log_z
from ebm.evaluation.binary_paths import BinaryPath, GibbsPath
from ebm.evaluation.enumeration import MAX_UNITS, binary_log_z, grid_log_z, rbm_log_z
from ebm.evaluation.paths import GaussianBase, GaussianPath, fit_to_model
from ebm.samplers import MALA
from ebm.samplers.adapt import Adjustable
from ebm.steps import Progress, Steps, finish

if TYPE_CHECKING:
    from ebm.detector import Detector

Method = Literal["auto", "exact", "ais"]
Found = Literal["closed_form", "enumeration", "quadrature", "ais"]
WIDE_GAP = 1.0  # nats between the two sides above which the answer is called uncertain
TOLERANCE = 1e-3  # nats by which a grid's answer may change when it is doubled


@dataclass(frozen=True)
class Partition:
    """log_z, in nats, of exp(-E) over the model's own coordinates (`ebm.evaluation.likelihood` says how these relate to
    user units), and how it was found. By annealed importance sampling also: its standard error, `lower` and `upper`
    (forward and reverse estimates), effective sample sizes of their weights. `learnt`: what an objective learnt as log
    Z beside the energy. `about`: of which energy."""

    log_z: float
    method: Found
    about: str
    standard_error: float = 0.0
    lower: float | None = None
    upper: float | None = None
    ess_forward: float | None = None
    ess_reverse: float | None = None
    n_chains: int | None = None
    n_temperatures: int | None = None
    learnt: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def gap(self) -> float | None:
        """upper - lower, nats; below 0 by chance where both are sharp."""
        return None if self.lower is None or self.upper is None else self.upper - self.lower


def log_partition(detector: Detector, rows: Any = None, **options: Any) -> Partition:
    """`log_partition_steps`, run to the end."""
    return finish(log_partition_steps(detector, rows, **options))


def log_partition_steps(
    detector: Detector,
    rows: Any = None,
    *,
    term: str | None = None,
    sigma: float | None = None,
    method: Method = "auto",
    n_chains: int = 100,
    n_temperatures: int = 1000,
    seed: int = 0,
    sampler: Adjustable | None = None,
) -> Steps[Progress, None, Partition]:
    """log of the integral (or sum) of exp(-E), pausing between temperatures.

    Args:
        rows: (N, ...) in user units, where the path's base begins; chains of their own then fit it to the model.
            Default: the spread of the training rows as far as the model knows it.
        term, sigma: one energy of a product, at one noise level; default: the energy that scores.
        method: 'exact' refuses what has no closed form, enumeration or grid; 'ais' samples even where one has.
        n_chains: on each side. n_temperatures: twice as many bring the two sides about twice as near.
        sampler: for continuous rows, with a Metropolis correction; MALA by default. Its step size is adapted.

    Raises:
        BadInput: rows that do not fit, an option out of range, or a term that is not there.
        Unsupported: 'exact' where there is no exact way; or rows that no path moves.
        Diverged: no chain stayed where the energy is finite.
    """
    if n_chains < 2 or n_temperatures < 2:
        raise BadInput("--chains and --temperatures must be at least 2")
    what = asked(detector, term, sigma)
    learnt = learnt_log_z(what.module) if what.module is not None else None
    encoded = None
    if rows is not None:
        encoded = torch.from_numpy(detector.preprocessor.transform(rows)).to(detector.device)
    if method != "ais":
        found = _exact(detector, what, encoded)
        if found is not None:
            yield Progress(1, 1)
            return Partition(*found, what.about, learnt=learnt)
        if method == "exact":
            raise Unsupported(
                f"{what.about} has no exact log Z: closed forms are of exponential families and kernels, "
                f"enumeration is of machines with a layer of at most {MAX_UNITS} units, a grid of 1 or 2 coordinates"
            )
    if what.space == "counts":
        raise Unsupported(f"{what.about} is of counts, which no path moves")
    generator = torch.Generator(detector.device).manual_seed(seed)
    path, betas = _path(detector, what, encoded, n_temperatures, generator, sampler)
    sides: Bracket = yield from bracket_steps(path, n_chains, betas.tolist(), generator)
    return Partition(
        log_z=sides.log_z,
        method="ais",
        about=what.about,
        standard_error=sides.standard_error,
        lower=sides.forward.log_z,
        upper=sides.reverse.log_z,
        ess_forward=sides.forward.ess,
        ess_reverse=sides.reverse.ess,
        n_chains=n_chains,
        n_temperatures=n_temperatures,
        learnt=learnt,
        notes=_notes(sides),
    )


def _notes(sides: Bracket) -> tuple[str, ...]:
    notes = ["the upper side starts from chains of this run: it is a bound in so far as they have converged"]
    if sides.gap > WIDE_GAP:
        notes.append(f"the two sides are {sides.gap:.2g} nats apart: give more --temperatures")
    elif min(sides.forward.ess, sides.reverse.ess) < sides.forward.n_chains / 10:
        notes.append("few chains carry the weights: give more --temperatures or --chains")
    return tuple(notes)


# -- exactly --------------------------------------------------------------------------------------------------------


def _exact(detector: Detector, what: Asked, rows: Tensor | None) -> tuple[float, Found] | None:
    closed = known_log_z(what.module, what.sigma)
    if closed is not None:
        return closed, "closed_form"
    shape = detector.preprocessor.shape
    machine = what.module
    if hasattr(machine, "interpolated") and min(machine.weight.shape) <= MAX_UNITS:
        hidden = machine.weight.shape[1] <= MAX_UNITS
        if hidden or getattr(machine, "visible", "binary") == "binary":
            return rbm_log_z(machine), "enumeration"
    if what.space == "binary" and math.prod(shape) <= MAX_UNITS:
        return binary_log_z(what.module or what.energy, shape), "enumeration"
    if what.space == "real" and len(shape) == 1 and shape[0] <= 2:
        by_grid = _grid(what, _base(detector, what, rows))
        if by_grid is not None:
            return by_grid, "quadrature"
    return None


def _grid(what: Asked, base: GaussianBase) -> float | None:
    """By a grid over 8 standard deviations to each side; None unless neither a wider nor a finer one changes it."""
    d = len(base.mean)
    sd = base.factor if base.factor.dim() == 1 else base.factor.square().sum(1).sqrt()

    def over(width: float, n_points: int) -> float:
        return grid_log_z(what.energy, base.mean - width * sd, base.mean + width * sd, n_points)

    n = 1001 if d == 1 else 201
    first = over(8, n)
    if abs(over(16, 2 * n - 1) - first) > TOLERANCE or abs(over(8, 2 * n - 1) - first) > TOLERANCE:
        return None
    return first


# -- by annealed importance sampling --------------------------------------------------------------------------------


def _path(
    detector: Detector,
    what: Asked,
    rows: Tensor | None,
    n_temperatures: int,
    generator: torch.Generator,
    sampler: Adjustable | None,
) -> tuple[Path, np.ndarray]:
    machine = what.module
    if hasattr(machine, "visible_bias") and hasattr(machine, "gibbs"):
        gaussian = getattr(machine, "visible", "binary") == "gaussian"
        bias = machine.visible_bias.detach()
        if rows is not None:
            bias = rows.flatten(1).mean(0) if gaussian else _logit(rows)
        return GibbsPath(machine, bias), sigmoid_schedule(n_temperatures)
    if what.space == "binary":
        d = math.prod(detector.preprocessor.shape)
        bias = torch.zeros(d, device=detector.device) if rows is None else _logit(rows)
        path = BinaryPath(what.energy, bias, detector.preprocessor.shape)
        return path, sigmoid_schedule(n_temperatures)
    sampler = MALA(0.1) if sampler is None else sampler
    base = fit_to_model(what.energy, _base(detector, what, rows, generator), generator, sampler=sampler)
    path = GaussianPath(what.energy, base, sampler)
    return path, path.tune(n_temperatures, generator)


def _logit(rows: Tensor) -> Tensor:
    """Of column means, as if one row of zeros and one of ones were added."""
    flat = rows.flatten(1)
    return torch.logit((flat.sum(0) + 1) / (len(flat) + 2))


def _base(
    detector: Detector, what: Asked, rows: Tensor | None, generator: torch.Generator | None = None
) -> GaussianBase:
    sigma = what.sigma or 0.0
    if rows is not None and len(rows) > 1:
        if sigma and generator is not None:  # the energy is that of rows with noise
            noise = torch.randn(rows.shape, generator=generator, dtype=rows.dtype, device=rows.device)
            rows = rows + sigma * noise
        return GaussianBase.fit(rows)
    mean, sd = _training_rows(detector)
    return GaussianBase.diagonal(mean, (sd.square() + sigma**2).sqrt())


def _training_rows(detector: Detector) -> tuple[Tensor, Tensor]:
    """Mean and spread of the training rows in the model's coordinates, as far as the artefact knows them."""
    if detector.sampling is not None:
        return detector.sampling.mean, detector.sampling.sd
    preprocessor: Any = detector.preprocessor
    if hasattr(preprocessor, "spread"):  # rows left unchanged
        pair = preprocessor.centre, preprocessor.spread
        return tuple(torch.tensor(p, dtype=torch.float32, device=detector.device) for p in pair)  # type: ignore[return-value]
    zero = torch.zeros(preprocessor.shape, device=detector.device)
    return zero, torch.ones_like(zero)  # what standardised rows have; the pixels of an image have less
