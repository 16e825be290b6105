"""Entries of the objectives whose negatives are drawn by chains on the energy itself."""

from __future__ import annotations

from typing import Any

from ebm.gallery.entry import MLP, Entry

CHAINS: dict[str, Any] = {"kind": "mala", "step_size": 0.02}
LOOP: dict[str, Any] = {"n_steps": 700, "learning_rate": 0.02}
GENTLE: dict[str, Any] = {"n_steps": 700, "learning_rate": 0.015}  # chains that persist diverge above

ENTRIES = (
    Entry(
        key="maximum_likelihood",
        kind="maximum_likelihood",
        title="Maximum likelihood by MCMC",
        equation=r"\mathcal{L}=\mathbb{E}_{x\sim\text{data}}\,E(x)-\mathbb{E}_{y\sim e^{-E}/Z}\,E(y)",
        about="The gradient of the negative log-likelihood, y drawn by Metropolis-corrected Langevin steps whose size "
        "falls within each batch, on chains that go on from batch to batch (Younes 1999; Xie et al. 2016). As every "
        "objective with chains it learns what the chains show it: the loss is a difference that stays near zero.",
        term={
            "energy": MLP,
            "objective": {
                "kind": "maximum_likelihood",
                "n_steps": 10,
                "start": "persistent",
                "step_start": 0.05,
                "step_end": 0.01,
            },
            "training": GENTLE,
        },
    ),
    Entry(
        key="cd",
        kind="cd",
        title="Contrastive divergence",
        equation=r"\mathcal{L}=\mathbb{E}_{x\sim\text{data}}\,E(x)-\mathbb{E}_{y}\,E(y),\quad y=k\text{ steps from }x",
        about="Ten MALA steps from the data (Hinton 2002). Chains never see what is far from data, so that low energy "
        "there would not be noticed; here the energy's growing Gaussian base leaves little room for it.",
        term={"energy": MLP, "objective": {"kind": "cd", "k_steps": 10, "sampler": CHAINS}, "training": LOOP},
    ),
    Entry(
        key="persistent_cd",
        kind="persistent_cd",
        title="Persistent contrastive divergence",
        equation=r"\mathcal{L}=\mathbb{E}_{x\sim\text{data}}\,E(x)-\mathbb{E}_{y}\,E(y),"
        r"\quad y=k\text{ steps from the buffer}",
        about="The same loss, with chains that go on from a replay buffer (Tieleman 2008; Du and Mordatch 2019, "
        "without their tempering). Five in a hundred begin anew from a standard normal.",
        term={
            "energy": MLP,
            "objective": {
                "kind": "persistent_cd",
                "k_steps": 10,
                "sampler": CHAINS,
                "buffer_size": 4096,
                "fresh": "gaussian",
                "l2": 0.0,
                "data_noise": 0.0,
            },
            "training": GENTLE,
        },
    ),
    Entry(
        key="recovery",
        kind="recovery",
        title="Recovery likelihood",
        equation=r"\mathcal{L}=\mathbb{E}\,E(x)-\mathbb{E}\,E(y),\quad y\sim e^{-E(y)-\lVert\tilde x-y\rVert^2/2g^2},"
        r"\ \tilde x=x+g\varepsilon",
        about="The likelihood of a row given a noisy copy of it (Bengio et al. 2013; Gao et al. 2021), which ties the "
        "chains to where they start: short ones are enough. With g up to .4 the modes of these sets still overlap "
        "through the noise.",
        term={
            "energy": MLP,
            "objective": {
                "kind": "recovery",
                "sigma": [0.1, 0.4],
                "k_steps": 10,
                "sampler": {"kind": "mala", "step_size": 0.1},
            },
            "training": {"n_steps": 700},
        },
    ),
)
