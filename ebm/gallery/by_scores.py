"""Entries of the objectives that fit the score function, in which Z has no part."""

from __future__ import annotations

from typing import Any

from ebm.gallery.entry import MLP, Entry

ANNEALED: dict[str, Any] = {
    "sampler": {
        "kind": "annealed_langevin",
        "sigma_min": 0.05,
        "sigma_max": 2.0,
        "n_levels": 12,
        "n_steps_per_level": 10,
    }
}
LEVELS: dict[str, Any] = {"kind": "dsm", "sigma_min": 0.05, "sigma_max": 2.0}
LOOP: dict[str, Any] = {"n_steps": 700}

ENTRIES = (
    Entry(
        key="score_matching",
        kind="score_matching",
        title="Implicit score matching, exact trace",
        equation=r"\mathcal{L}=\mathbb{E}\left[\tfrac12\lVert\nabla_x E(x)\rVert^2"
        r"-\operatorname{tr}\nabla_x^2 E(x)\right]",
        about="The Fisher divergence by parts, without noise and without samples (Hyvärinen 2005). It compares slopes "
        "where data are, and only there: how deep the parts of a set are beside each other it hardly sees, which shows "
        "in the samples before it shows in the field.",
        term={"energy": MLP, "objective": {"kind": "score_matching", "trace": "exact"}, "training": LOOP},
    ),
    Entry(
        key="score_matching_hutchinson",
        kind="score_matching",
        title="Implicit score matching, Hutchinson's trace",
        equation=r"\mathcal{L}=\mathbb{E}\left[\tfrac12\lVert\nabla_x E(x)\rVert^2-v^\top\nabla_x^2 E(x)\,v\right],"
        r"\quad v\in\{-1,1\}^d",
        about="The same, with the trace estimated by one random probe a row (Hutchinson 1990): one backward pass more, "
        "whatever the number of columns.",
        term={
            "energy": MLP,
            "objective": {"kind": "score_matching", "trace": "hutchinson"},
            "training": LOOP,
        },
    ),
    Entry(
        key="sliced_score_matching",
        kind="sliced_score_matching",
        title="Sliced score matching",
        equation=r"\mathcal{L}=\mathbb{E}\left[\tfrac12(v^\top\nabla_x E(x))^2-v^\top\nabla_x^2 E(x)\,v\right],"
        r"\quad v\sim\mathcal{N}(0,I)",
        about="Score functions compared along one random direction a row (Song, Garg, Shi and Ermon 2020); here in the "
        "form of less variance, whose first term is that above.",
        term={
            "energy": MLP,
            "objective": {"kind": "sliced_score_matching", "reduced": True},
            "training": LOOP,
        },
    ),
    Entry(
        key="dsm",
        kind="dsm",
        title="Denoising score matching, one noise level",
        equation=r"\mathcal{L}=\mathbb{E}\,\lVert\sigma\nabla_x E(x+\sigma\varepsilon)-\varepsilon\rVert^2",
        about="Guess the noise from the noisy row (Vincent 2011). The energy is that of the data with noise, here of "
        "sd .1: its walls are that much softer than the truth's, which bounds the Fisher figure from below.",
        term={
            "energy": MLP,
            "objective": {"kind": "dsm", "sigma_min": 0.1},
            "training": {"n_steps": 800, "learning_rate": 0.02},
        },
    ),
    Entry(
        key="dsm_levels",
        kind="dsm",
        title="Denoising score matching, many noise levels",
        equation=r"\mathcal{L}=\mathbb{E}_\sigma\,\mathbb{E}\,\lVert\sigma\nabla_x E(x+\sigma\varepsilon,\sigma)"
        r"-\varepsilon\rVert^2",
        about="One energy of x and of the noise, σ from .05 to 2 (Song and Ermon 2019), shown and measured at σ = .1. "
        "Samples are drawn by annealed Langevin steps: large noise carries chains to every part of a set in the right "
        "shares.",
        term={
            "energy": {"kind": "residual", "width": 128, "depth": 4},
            "objective": LEVELS,
            "training": {"n_steps": 1500},
            "sigmas": [0.1],
        },
        sampling=ANNEALED,
        level=0.1,
    ),
    Entry(
        key="score_parametrised",
        kind="dsm",
        title="Score-parametrised energy",
        equation=r"E(x,\sigma)=\frac{\lVert x-f(x,\sigma)\rVert^2}{2\sigma^2},\quad\text{same loss}",
        about="The same loss and sampler for an energy made of a denoiser (Salimans and Ho 2021), which is never below "
        "zero. Shown at σ = .1.",
        term={
            "energy": {"kind": "score_parametrised", "width": 128, "depth": 4},
            "objective": LEVELS,
            "training": {"n_steps": 1500},
            "sigmas": [0.1],
        },
        sampling=ANNEALED,
        level=0.1,
    ),
    Entry(
        key="joint",
        kind="joint",
        title="Joint energy of rows and labels",
        equation=r"\mathcal{L}=-a\,\log\frac{e^{f(x)_y}}{\sum_k e^{f(x)_k}}+b\,\mathcal{L}_{\text{density}}(E),"
        r"\quad E(x)=-\log\sum_y e^{f(x)_y}",
        about="A classifier whose logits are energies (Grathwohl et al. 2020), given the part of the set that each row "
        "is of; the density part is denoising score matching with σ = .1. Shown is E(x), over all classes.",
        term={
            "energy": {"kind": "joint", "width": 64, "depth": 4},
            "objective": {
                "kind": "joint",
                "density_weight": 10.0,
                "density": {"kind": "dsm", "sigma_min": 0.1},
            },
            "training": {"n_steps": 800},
        },
        labelled=True,
    ),
)
