"""Everything that a training run is told, as one frozen YAML document."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from ebm.augment import AugmentConfig
from ebm.config import Frozen
from ebm.data.config import DataConfig
from ebm.energies import EnergyConfig
from ebm.energies.product import Link
from ebm.objectives import ObjectiveConfig
from ebm.preprocessing import PreprocessorConfig
from ebm.samplers import SamplerConfig
from ebm.training import presets
from ebm.training.matching import (
    check_chains,
    check_fitted,
    check_labelled,
    check_objective,
    check_preprocessing,
    check_sampler,
)

Share = Annotated[float, Field(ge=0, lt=1)]
NAME = r"^[a-z0-9][a-z0-9._-]{0,63}$"


class LoopConfig(Frozen):
    """Optimisation of one term: AdamW, warm-up then `schedule`, gradient clipping at `clip`, EMA of the weights.

    `only`: the parts of the energy that are trained (its attributes by name); all where empty. `augment`: changes to
    each batch of images that leave normal images normal; none unless asked for.
    """

    n_steps: int = Field(default=2000, ge=1)
    batch_size: int = Field(default=128, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    betas: tuple[Share, Share] = (0.9, 0.99)
    weight_decay: float = Field(default=1e-4, ge=0)
    warmup_steps: int = Field(default=100, ge=0)
    schedule: Literal["cosine", "constant"] = "cosine"
    clip: float = Field(default=1.0, gt=0)
    ema: float = Field(default=0.998, ge=0, lt=1)
    only: tuple[str, ...] = ()
    augment: AugmentConfig | None = None
    log_every: int = Field(default=20, ge=1)
    checkpoint_every: int = Field(default=200, ge=1)


class SplitConfig(Frozen):
    """Shares of the normal rows: `train`, then `calibration`; the rest is the test set."""

    train: float = Field(default=0.6, gt=0, le=1)
    calibration: float = Field(default=0.2, ge=0, lt=1)

    @model_validator(mode="after")
    def _fits(self) -> SplitConfig:
        if self.train + self.calibration > 1 + 1e-9:
            raise ValueError("train + calibration must not exceed 1")
        return self


class StageConfig(Frozen):
    """One objective, minimised as `training` says."""

    objective: ObjectiveConfig
    training: LoopConfig = LoopConfig()


class TermConfig(Frozen):
    """One energy of the product. Without `objective` the energy is only fitted (kernels, exponential families).

    `start_from`: an earlier term of the same energy, with whose weights this one begins; `pretraining`: stages before
    `objective`, in order. `sigmas`: the noise levels at which a noise-conditional energy scores; `local_sigmas`: those
    at which the largest local residual of its denoising does (`ebm.energies.local_residual`); `weight` is shared among
    all of them. A term of weight 0 only denoises and generates.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    energy: EnergyConfig
    start_from: str | None = None
    pretraining: tuple[StageConfig, ...] = ()
    objective: ObjectiveConfig | None = None
    training: LoopConfig = LoopConfig()
    weight: float = 1.0
    sigmas: tuple[Annotated[float, Field(gt=0)], ...] = ()
    local_sigmas: tuple[Annotated[float, Field(gt=0)], ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> TermConfig:
        conditional = getattr(self.energy, "noise_conditional", False)
        check_fitted(self.energy, self.objective is not None, bool(self.pretraining))
        for stage in self.stages:
            check_objective(stage.objective, self.energy)
        if self.local_sigmas and self.energy.kind not in ("unet", "restoration"):
            raise ValueError(
                "'local_sigmas' needs an energy of images that denoises: kind 'unet' or 'restoration'"
            )
        if conditional and not self.sigmas and not self.local_sigmas:
            raise ValueError("a noise-conditional energy needs 'sigmas', the noise levels at which it scores")
        if self.sigmas and not conditional and self.energy.kind != "kernel":
            raise ValueError("'sigmas' needs a noise-conditional energy")
        sigma_max = getattr(self.objective, "sigma_max", None)
        if sigma_max is not None and not conditional:
            raise ValueError("several noise levels ('sigma_max') need 'noise_conditional: true'")
        check_chains(self.objective, self.training.batch_size)
        return self

    @property
    def stages(self) -> tuple[StageConfig, ...]:
        """All that is trained, in order; empty for energies that are only fitted."""
        if self.objective is None:
            return self.pretraining
        return (*self.pretraining, StageConfig(objective=self.objective, training=self.training))


class SamplingConfig(Frozen):
    """Which energy denoises and generates, and by which sampler.

    `coarse_term`, where given, stands in for `term` at noise levels above `switch_sigma`. `n_steps` is the length of a
    plain Langevin or MALA chain; an annealed sampler brings its own.
    """

    term: str
    coarse_term: str | None = None
    switch_sigma: float | None = Field(default=None, gt=0)
    sampler: SamplerConfig
    n_steps: int = Field(default=200, ge=1)

    @model_validator(mode="after")
    def _switch(self) -> SamplingConfig:
        if (self.coarse_term is None) != (self.switch_sigma is None):
            raise ValueError("'coarse_term' and 'switch_sigma' go together")
        return self


class ModelConfig(Frozen):
    """A model from rows to detector; `TrainConfig` adds where the rows are.

    `precision`: of the networks in training; auto is bf16-mixed where the device computes in bf16, else 32-true.
    `weights`: how the artefact stores them; float16 rounds them before calibration, so that a loaded model scores as
    the fitted one does, and halves the file. `link`: how terms add up, see `ProductOfExperts`; `link_temperature`: the
    T of `soft_min`. `calibration`: by rows set aside (`split`), or by the training rows, each left out in turn
    (`leave_one_out`: exact for kernel energies, in `folds` folds for trained ones), which costs no rows.
    `contamination`: the share of anomalies among the training rows, where the rows that look it are not learnt from
    (`auto`: an unknown share; None: there are none; see `ebm.trimming`).
    """

    name: str = Field(default="detector", pattern=NAME)
    version: str = Field(default="1", pattern=NAME)
    description: str = ""
    seed: int = Field(default=0, ge=0, lt=2**32)  # scikit-learn takes no larger one
    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["32-true", "bf16-mixed", "auto"] = "32-true"
    weights: Literal["float32", "float16"] = "float32"
    preprocessing: PreprocessorConfig
    terms: tuple[TermConfig, ...]
    link: Link = "linear"
    link_temperature: float = Field(default=1.0, gt=0)
    sampling: SamplingConfig | None = None
    calibration: Literal["split", "leave_one_out"] = "split"
    folds: int = Field(default=2, ge=2, le=20)
    contamination: Literal["auto"] | Annotated[float, Field(gt=0, le=0.5)] | None = None
    default_fpr: float = Field(default=0.05, gt=0, lt=1)

    # A bound on the field would also count terms that failed, and report them as missing.
    @field_validator("terms")
    @classmethod
    def _some(cls, terms: tuple[TermConfig, ...]) -> tuple[TermConfig, ...]:
        if not terms:
            raise ValueError("at least one term is needed")
        return terms

    @model_validator(mode="after")
    def _terms(self) -> Self:
        energies = {term.name: term.energy for term in self.terms}
        check_labelled(self)
        if len(energies) < len(self.terms):
            raise ValueError("two terms have the same name")
        if self.calibration == "leave_one_out" and any(term.start_from for term in self.terms):
            raise ValueError(
                "'start_from' needs calibration 'split': the other term has seen the rows left out"
            )
        for i, term in enumerate(self.terms):
            check_preprocessing(self.preprocessing, term.name, term.energy)
            earlier = {t.name: t.energy for t in self.terms[:i]}
            if term.start_from is not None and earlier.get(term.start_from) != term.energy:
                raise ValueError(f"term '{term.name}': 'start_from' needs an earlier term of the same energy")
        if self.link == "soft_min":
            if min(weights := [term.weight for term in self.terms]) < 0 or max(weights) == 0:
                raise ValueError("link 'soft_min' takes weights that are not negative, and one above 0")
        elif self.link_temperature != 1:
            raise ValueError("'link_temperature' is for link 'soft_min'")
        if self.sampling is not None:
            for name in filter(None, (self.sampling.term, self.sampling.coarse_term)):
                if name not in energies:
                    raise ValueError(f"sampling names the unknown term '{name}'")
                check_sampler(self.sampling.sampler, name, energies[name])
        return self


class TrainConfig(ModelConfig):
    """A model from data to artefact; see `configs/` for complete examples.

    `preset: tabular` stands for the preprocessing, terms, sampling and calibration of `presets.tabular`, and `preset:
    image` for those of `presets.image`; whatever is given beside it takes precedence.
    """

    name: str = Field(pattern=NAME)
    preset: Literal["tabular", "image"] | None = None
    data: DataConfig
    split: SplitConfig = SplitConfig()
    tensorboard: bool = False

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        preset = values.get("preset")
        if preset not in (
            None,
            "tabular",
            "image",
        ):  # else the first complaint is of what it would have given
            raise ValueError(f"preset {preset!r} is not known; there are 'tabular' and 'image'")
        if preset == "tabular":
            return {"split": {"train": 0.8, "calibration": 0.0}} | presets.tabular() | values
        if preset == "image":
            return {"split": {"train": 0.8, "calibration": 0.1}} | presets.image() | values
        return values

    @model_validator(mode="after")
    def _calibration_rows(self) -> Self:
        if self.calibration == "split" and self.split.calibration == 0:
            raise ValueError("calibration 'split' needs rows: give 'split.calibration' above 0")
        return self
