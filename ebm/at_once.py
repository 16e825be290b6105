"""The long calls of a detector, run to their end; `ebm.detector` has them in steps, and says what they do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ebm import classify, compare, explain, impute
from ebm.answers import Generated
from ebm.denoising import Noise
from ebm.pixel_maps import ExplainMethod, MapMethod
from ebm.restoration import DenoiseMethod
from ebm.steps import Progress, Steps, finish


class AtOnce:
    """Every `..._steps` of the class that inherits this, without the steps."""

    denoise_steps: Callable[..., Steps[Progress, None, np.ndarray]]
    generate_steps: Callable[..., Steps[Progress, None, Generated]]
    explain_steps: Callable[..., Steps[Progress, None, explain.Explanation]]
    pixel_maps_steps: Callable[..., Steps[Progress, None, np.ndarray]]
    impute_steps: Callable[..., Steps[Progress, None, impute.Imputed]]
    compare_steps: Callable[..., Steps[Progress, None, compare.Comparison]]
    classify_steps: Callable[..., Steps[Progress, None, classify.Classified]]

    def denoise(
        self,
        values: Any,
        *,
        sigma: float | None = None,
        n_steps: int | None = None,
        method: DenoiseMethod = "posterior_mean",
        seed: int = 0,
        noise: Noise = "gaussian",
    ) -> np.ndarray:
        """The likely clean version of noisy rows (N, ...), in user units; see `denoise_steps`."""
        how: dict[str, Any] = {
            "sigma": sigma,
            "n_steps": n_steps,
            "method": method,
            "seed": seed,
            "noise": noise,
        }
        return finish(self.denoise_steps(values, **how))

    def generate(
        self,
        n: int,
        *,
        seed: int = 0,
        n_steps: int | None = None,
        step_size: float | None = None,
        keep_every: int = 0,
        diagnose: bool = False,
        label: int | str | None = None,
    ) -> Generated:
        """n new samples in user units, of a class where `label` names one; see `generate_steps`."""
        chain: dict[str, Any] = {"n_steps": n_steps, "step_size": step_size, "keep_every": keep_every}
        return finish(self.generate_steps(n, seed=seed, **chain, diagnose=diagnose, label=label))

    def explain(
        self, values: Any, *, sparse: bool | None = None, method: ExplainMethod | None = None
    ) -> explain.Explanation:
        """What each column, or pixel, adds to the energy of rows (N, ...) above that of their normal version."""
        return finish(self.explain_steps(values, sparse=sparse, method=method))

    def pixel_maps(self, values: Any, *, method: MapMethod | None = None) -> np.ndarray:
        """Where images (N, ...) are odd: (N, H, W), larger = more anomalous; see `ebm.pixel_maps`."""
        return finish(self.pixel_maps_steps(values, method=method))

    def impute(
        self, values: Any, *, n_draws: int = 32, seed: int = 0, keep_draws: bool = False
    ) -> impute.Imputed:
        """Rows (N, ...) with their nulls filled by draws from p(missing | observed); see `impute_steps`."""
        return finish(self.impute_steps(values, n_draws=n_draws, seed=seed, keep_draws=keep_draws))

    def compare(self, a: Any, b: Any, *, path: bool = True, n_points: int = 33) -> compare.Comparison:
        """log p(a) - log p(b) of rows in pairs, or of one with many; see `compare_steps`."""
        return finish(self.compare_steps(a, b, path=path, n_points=n_points))

    def classify(self, values: Any) -> classify.Classified:
        """p(y | x) of rows (N, ...), with E(x) beside it."""
        return finish(self.classify_steps(values))
