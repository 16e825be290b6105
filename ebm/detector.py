"""The one object that everything else serves: preprocessing + energy + calibration."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ebm import (
    classify,
    compare,
    denoising,
    explain,
    explain_images,
    generation,
    impute,
    impute_images,
    judging,
    pixel_maps,
)
from ebm.abilities import abilities
from ebm.answers import Generated, SamplingState, Scores
from ebm.at_once import AtOnce
from ebm.calibration import Calibration
from ebm.energies import ProductOfExperts
from ebm.errors import Unsupported
from ebm.manifest import Manifest
from ebm.pixel_maps import ExplainMethod, MapMethod
from ebm.preprocessing import Preprocessor, ScaleImage
from ebm.restoration import DenoiseMethod
from ebm.steps import Progress, Steps
from ebm.types import Energy

CHUNK = 1024  # rows at a time: bounds the memory of the kernel's distances
# Products of fewer than 8 rows round otherwise (measured: torch 2.13, x86), and a row's score must not depend, even in
# its last bit, on the rows beside it.
BLOCK = 16


class Detector(AtOnce):
    """Scores, denoises and generates rows in the user's units. Built by `ebm.fitting`, stored by `ebm.artifact`."""

    def __init__(
        self,
        manifest: Manifest,
        preprocessor: Preprocessor,
        energy: ProductOfExperts,
        calibration: Calibration,
        sampling: SamplingState | None,
        device: str | torch.device = "cpu",
    ):
        self.manifest, self.preprocessor, self.calibration = manifest, preprocessor, calibration
        self.device = torch.device(device)
        self.energy = energy.to(self.device).requires_grad_(False).eval()
        self._scoring = self.energy.at_levels()
        self.sampling = sampling

    # -- what it is -------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def version(self) -> str:
        return self.manifest.version

    @property
    def kind(self) -> str:
        return self.manifest.kind

    @property
    def columns(self) -> list[str] | None:
        return self.preprocessor.columns

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.preprocessor.input_shape

    @property
    def can(self) -> frozenset[str]:
        """The calls this model answers, see `ebm.abilities`."""
        return abilities(self.kind, self.energy, self._denoiser, self.sampling is not None)

    @property
    def classes(self) -> list[str]:
        """The names that `classify` answers with; none where the model has no classes."""
        return classify.class_names(self.energy)

    # -- scoring ----------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def energies(self, values: Any) -> np.ndarray:
        """E(x) for rows (N, ...) in user units: (N,), float32.

        Raises:
            BadInput: a row does not fit the model's input; names row and column.
        """
        rows = self.preprocessor.transform(values)
        n = len(rows)
        if n == 0:
            return np.zeros(0, np.float32)
        padded = np.empty((n + -n % BLOCK, *rows.shape[1:]), np.float32)
        padded[:n], padded[n:] = rows, rows[-1]
        x = torch.from_numpy(padded)
        parts = [self._scoring(part.to(self.device)).float().cpu() for part in x.split(CHUNK)]
        return (parts[0] if len(parts) == 1 else torch.cat(parts)).numpy()[:n]

    def score(self, values: Any, *, fpr: float | None = None, fdr: float | None = None) -> Scores:
        """Energies, p-values and labels of rows (N, ...) in user units.

        Args:
            fpr: label rows with p_value <= fpr (the manifest's default where neither rate is given).
            fdr: label by Benjamini-Hochberg over these rows instead.

        Raises:
            BadInput: a row does not fit, or a rate is not in (0, 1), or both are given.
        """
        return self.judge(self.energies(values), fpr=fpr, fdr=fdr)

    def measure(self, energy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Energies (N,) as anomaly scores (N,) and p-values (N,), both float64.

        Raises:
            BadInput: an energy is NaN.
        """
        return judging.measure(energy, self.manifest.calibration, self.calibration)

    def judge(
        self,
        energy: np.ndarray,
        *,
        fpr: float | None = None,
        fdr: float | None = None,
        measured: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> Scores:
        """`score` for energies (N,) that are already computed; and what `measure` says of them, where that is known."""
        parts = self.manifest.calibration, self.calibration
        return judging.judge(energy, *parts, fpr=fpr, fdr=fdr, measured=measured)

    # -- denoising --------------------------------------------------------------------------------------------------

    def denoise_steps(
        self,
        values: Any,
        *,
        sigma: float | None = None,
        n_steps: int | None = None,
        method: DenoiseMethod = "posterior_mean",
        seed: int = 0,
        noise: denoising.Noise = "gaussian",
    ) -> Steps[Progress, None, np.ndarray]:
        """`denoise`, pausing after each step; the answer is the generator's return value.

        Args:
            sigma: sd of the noise in preprocessed units (images: of a range of [-1, 1]; tables: of z-scores);
                None estimates it row by row.
            n_steps: posterior_mean: 1 for the posterior mean itself (default), more for a sharper answer;
                langevin: noise levels of the chain, 50 by default.
            method: 'posterior_mean' is the one best guess, 'langevin' a random draw of what is likely, by its `seed`.
            noise: 'impulse' finds single lost pixels of images and paints them in, without sigma and method.

        Raises:
            Unsupported: no energy of this model is noise-conditional.
            BadInput: rows that do not fit, an argument out of range.
        """
        self._require("denoise")
        assert self._denoising is not None
        how: dict[str, Any] = {"sigma": sigma, "n_steps": n_steps, "method": method, "seed": seed}
        parts = self.preprocessor, *self._denoising
        return (yield from denoising.denoise_steps(*parts, values, **how, noise=noise))

    # -- generation -------------------------------------------------------------------------------------------------

    def generate_steps(
        self,
        n: int,
        *,
        seed: int = 0,
        n_steps: int | None = None,
        step_size: float | None = None,
        keep_every: int = 0,
        diagnose: bool = False,
        label: int | str | None = None,
    ) -> Steps[Progress, None, Generated]:
        """`generate`, pausing after each step; the answer is the generator's return value.

        Args:
            seed: same seed, same model, same device: same samples.
            n_steps: of a plain chain, or of each level of an annealed one. step_size: in the sampler's units.
            keep_every: keep the chains' state after every so many steps. diagnose: also say whether they have mixed.
            label: draw from E(x, y) of this class, where the model has classes.

        Raises:
            Unsupported: the model was published without a sampler, or has no classes for a `label`.
            BadInput, BadConfig: an argument out of range. Diverged: a chain left the finite numbers.
        """
        self._require("generate")
        config, state = self.manifest.sampling, self.sampling
        assert config is not None and state is not None
        chain: dict[str, Any] = {"n_steps": n_steps, "step_size": step_size, "keep_every": keep_every}
        parts = self.preprocessor, generation.sampling_energy(self.energy.terms, config, label), config, state
        return (yield from generation.generate_steps(*parts, n, seed=seed, **chain, diagnose=diagnose))

    # -- explanations and missing cells -----------------------------------------------------------------------------

    def explain_steps(
        self, values: Any, *, sparse: bool | None = None, method: ExplainMethod | None = None
    ) -> Steps[Progress, None, explain.Explanation]:
        """`explain`, pausing after each step; the answer is the generator's return value.

        Args:
            sparse: change as few columns as reach the median energy of the calibration rows, not all a little; of
                images, leave every pixel that need not change. Default: for tables, not for images, whose normal
                version is restored or, where the model does not do that, the nearest normal training image.
            method: of images' `anomaly_map`, as in `pixel_maps_steps`; or 'contributions'.

        Raises:
            Unsupported: an image model without either. BadInput: rows that do not fit, or whose energy is not finite.
        """
        self._require("explain")
        parts = self.energy, self.manifest.calibration, self.calibration
        if isinstance(images := self.preprocessor, ScaleImage):
            how: dict[str, Any] = {"sparse": bool(sparse), "method": method}
            return (
                yield from explain_images.explain_image_steps(images, *parts, self._denoising, values, **how)
            )
        how = {"sparse": sparse is None or sparse}
        return (yield from explain.explain_steps(self.preprocessor, *parts, values, **how))

    def pixel_maps_steps(
        self, values: Any, *, method: MapMethod | None = None
    ) -> Steps[Progress, None, np.ndarray]:
        """`pixel_maps`, pausing now and then. method: 'residual', 'local' or 'gradient', see `ebm.pixel_maps`; None for
        the best of those that the model can do. Raises Unsupported for tables; BadInput: images that do not fit."""
        parts = pixel_maps.require_images(self.name, self.preprocessor), self.energy, self._denoiser
        return (yield from pixel_maps.pixel_map_steps(*parts, values, method))

    def impute_steps(
        self, values: Any, *, n_draws: int = 32, seed: int = 0, keep_draws: bool = False
    ) -> Steps[Progress, None, impute.Imputed]:
        """`impute`, pausing after each step; the answer is the generator's return value.

        Args:
            n_draws: draws to average; 1 fills in a single random draw.
            keep_draws: return each draw's completed rows as well.

        Raises:
            Unsupported: no energy of this model draws rows. BadInput: rows that do not fit, an argument out of range.
        """
        self._require("impute")
        options = {"n_draws": n_draws, "seed": seed, "keep_draws": keep_draws}
        if isinstance(self.preprocessor, ScaleImage):
            images = self.preprocessor, self.energy, self._denoiser
            return (yield from impute_images.impute_image_steps(*images, values, **options))
        source = impute.Source.of(self.energy, self._denoiser)
        return (yield from impute.impute_steps(self.preprocessor, source, values, **options))

    # -- comparisons and classes ------------------------------------------------------------------------------------

    def compare_steps(
        self, a: Any, b: Any, *, path: bool = True, n_points: int = 33
    ) -> Steps[Progress, None, compare.Comparison]:
        """`compare`, pausing now and then; the answer is the generator's return value.

        Args:
            path: also integrate the score function along the straight line from b to a, by n_points - 1 intervals.

        Raises:
            BadInput: rows that do not fit or do not pair up, or n_points out of range.
        """
        parts = self.preprocessor, self.energy, self.energies
        return (yield from compare.compare_steps(*parts, a, b, path=path, n_points=n_points))

    def classify_steps(self, values: Any) -> Steps[Progress, None, classify.Classified]:
        """`classify`, pausing now and then. Raises Unsupported where no energy is joint; BadInput: bad rows."""
        self._require("classify")
        return (yield from classify.classify_steps(self.preprocessor, self.energy, self.score, values))

    # -- helpers ----------------------------------------------------------------------------------------------------

    @property
    def _denoising(self) -> tuple[Energy, torch.Tensor] | None:
        """The noise-conditional energy that denoises, the fine one at every level, for the coarse one knows only
        training rows; and its level offsets."""
        state, config = self.sampling, self.manifest.sampling
        if state is None or config is None or state.level_offsets is None:
            return None
        return self.energy.terms[config.term], state.level_offsets

    @property
    def _denoiser(self) -> Energy | None:
        return None if self._denoising is None else self._denoising[0]

    def _require(self, operation: str) -> None:
        if operation not in self.can:
            able = ", ".join(sorted(self.can))
            raise Unsupported(f"model '{self.name}' cannot {operation}; it can: {able}")
