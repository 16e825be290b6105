"""Which energies, objectives and samplers fit together: said when a configuration is read, not after hours of training.

An energy's configuration says what it `offers`, an objective's or a sampler's what it `needs`, in the words below. An
energy is also refused what its rows do not allow: binary rows have no gradient to follow and take no small noise.
"""

from __future__ import annotations

from typing import Any

# What can be offered and needed, and how a message says that it is missing.
WORDS = {
    "autoencoder": "trains an autoencoder",
    "classes": "needs classes (energy kind 'joint')",
    "embedding": "trains an embedding (energy kind 'embedding')",
    "hidden_units": "samples hidden units",
    "layers": "trains layers one by one (energy kind 'dbn')",
    "pairs": "needs rows that are pairs (energy kind 'structured')",
    "binary": "is for binary rows",
}
# Words that an energy may also offer, which nobody needs by name: `fitted`: in closed form, from `fit` alone;
# `fitted_only`: it has nothing to train; `binary`: its rows are zeros and ones;
# `counts`: whole numbers.
DISCRETE = ("gibbs",)  # kinds of samplers that move binary rows


def check_fitted(energy: Any, trained: bool, pretrained: bool) -> None:
    """Raises ValueError where an energy lacks an objective, or has one that it cannot use."""
    if "fitted_only" in energy.offers:
        if trained or pretrained:
            raise ValueError(f"energy kind '{energy.kind}' is fitted, not trained: remove 'objective'")
    elif not trained and "fitted" not in energy.offers:
        raise ValueError(f"energy kind '{energy.kind}' needs an 'objective'")


def check_objective(objective: Any, energy: Any) -> None:
    """Raises ValueError where an objective cannot train an energy."""
    conditional = getattr(energy, "noise_conditional", False)
    if (energy.kind == "restoration") != (objective.kind == "restoration"):
        raise ValueError("energy kind 'restoration' and objective kind 'restoration' go together")
    if conditional and not getattr(objective, "over_levels", False):
        raise ValueError(
            "a noise-conditional energy can only be trained by objective kind 'dsm', or 'recovery' with 'levels'"
        )
    if getattr(objective, "levels", ()) and not conditional:
        raise ValueError("'levels' needs a noise-conditional energy")
    _check_needs("objective", objective, energy)
    sampler = getattr(objective, "sampler", None)
    if sampler is not None:
        _check_needs("sampler", sampler, energy)
    if "layers" in energy.offers:
        _check_layers(objective, energy)
    if "binary" in energy.offers and "binary" not in objective.needs:
        if sampler is None or sampler.kind not in DISCRETE:
            raise ValueError(
                f"energy '{energy.kind}' is of binary rows: it needs an objective with sampler kind 'gibbs'"
            )
    _check_rows(objective, energy)
    density = getattr(objective, "density", None)
    if density is not None:  # of an objective in two parts
        check_objective(density, energy)


def check_chains(objective: Any, batch_size: int) -> None:
    """Raises ValueError where an objective keeps fewer chains than a batch needs."""
    for inner in (objective, getattr(objective, "density", None)):
        chains = getattr(inner, "buffer_size", batch_size)
        if chains < batch_size:
            raise ValueError(f"'buffer_size' {chains} is below 'batch_size' {batch_size}")


def check_labelled(config: Any) -> None:
    """Raises ValueError where a model learns from labels and from rows chosen without looking at them."""
    for term in config.terms:
        if not any(getattr(stage.objective, "labelled", False) for stage in term.stages):
            continue
        about = f"term '{term.name}' learns from labels: it needs"
        if config.calibration != "split":
            raise ValueError(f"{about} calibration 'split', not '{config.calibration}'")
        if config.contamination is not None:
            raise ValueError(f"{about} training rows as they are: remove 'contamination'")


def check_preprocessing(preprocessing: Any, name: str, energy: Any) -> None:
    """Raises ValueError where term `name` is of binary rows and would get others."""
    if "binary" in energy.offers and preprocessing.kind != "binarize":
        raise ValueError(f"term '{name}' is of binary rows: it needs preprocessing kind 'binarize'")


def _check_layers(objective: Any, energy: Any) -> None:
    if "layers" not in objective.needs:
        raise ValueError(f"energy '{energy.kind}' is trained layer by layer, by objective kind 'greedy'")
    if objective.layer > len(energy.hidden):
        raise ValueError(f"'layer' {objective.layer}: the energy has {len(energy.hidden)} layers")


def _check_rows(objective: Any, energy: Any) -> None:
    """Raises ValueError where an objective would give the energy rows that are not of its space."""
    fresh = getattr(objective, "fresh", None)
    if "binary" not in energy.offers:
        if fresh == "binary":
            raise ValueError(f"'fresh: binary' is for binary rows; energy '{energy.kind}' is of real ones")
        return
    if getattr(objective, "data_noise", 0):
        raise ValueError(f"energy '{energy.kind}' is of binary rows: set 'data_noise' to 0")
    if getattr(objective, "negatives", None) is not None:
        raise ValueError(f"energy '{energy.kind}' is of binary rows: it takes no 'negatives'")
    if fresh not in (None, "binary"):
        raise ValueError(f"energy '{energy.kind}' is of binary rows: set 'fresh' to binary")


def check_sampler(sampler: Any, name: str, energy: Any) -> None:
    """Raises ValueError where a sampler cannot draw from term `name`; found only on generating otherwise."""
    if energy.kind == "kernel":
        return  # it has a noiseless energy and one at each level
    kind, conditional = sampler.kind, getattr(energy, "noise_conditional", False)
    by_levels = kind in ("annealed_langevin", "ancestral")
    if by_levels and not conditional:
        raise ValueError(f"sampler kind '{kind}' needs a noise-conditional energy; term '{name}' has none")
    if not by_levels and conditional:
        raise ValueError(
            f"term '{name}' is noise-conditional: it needs sampler kind 'annealed_langevin' or 'ancestral'"
        )
    if kind == "annealed_langevin" and energy.kind == "restoration":
        raise ValueError(
            f"term '{name}' denoises by a field, not by its energy: it needs sampler kind 'ancestral'"
        )
    _check_needs("sampler", sampler, energy)
    if "counts" in energy.offers:
        raise ValueError(f"term '{name}' is of counts: no sampler moves them")
    if "binary" in energy.offers and kind not in DISCRETE:
        raise ValueError(f"term '{name}' is of binary rows: it needs sampler kind 'gibbs'")


def _check_needs(part: str, asking: Any, energy: Any) -> None:
    for word in sorted(asking.needs - energy.offers):
        raise ValueError(f"{part} kind '{asking.kind}' {WORDS[word]}; energy '{energy.kind}' has none")
