"""Entries of the objectives that tell data from something else, or a row from its like."""

from __future__ import annotations

from ebm.gallery.entry import MLP, Entry

ENTRIES = (
    Entry(
        key="nce",
        kind="nce",
        title="Noise-contrastive estimation",
        equation=r"\mathcal{L}=\mathbb{E}_x\,\text{softplus}(-h(x))+\nu\,\mathbb{E}_{y\sim q}\,\text{softplus}(h(y)),"
        r"\quad h=-E-\log Z-\log q-\log\nu",
        about="Data told from noise of known density, a Gaussian fitted to them, four rows of it to one (Gutmann and "
        "Hyvärinen 2010). In the plane the two overlap well, which is where this is at its best; log Z comes with it.",
        term={
            "energy": MLP,
            "objective": {"kind": "nce", "nu": 4},
            "training": {"n_steps": 900, "learning_rate": 0.02},
        },
    ),
    Entry(
        key="flow_contrastive",
        kind="flow_contrastive",
        title="Flow-contrastive estimation",
        equation=r"\min_E\max_q\;\text{of the value above with }\nu=1,\quad q=\text{a normalising flow}",
        about="The noise is a flow that learns to be mistaken for data (Gao et al. 2020). The nearer it comes the less "
        "the energy is told by one batch.",
        term={
            "energy": MLP,
            "objective": {
                "kind": "flow_contrastive",
                "flow": {"transforms": 4, "hidden": [32, 32]},
                "warmup": 100,
            },
            "training": {"n_steps": 700, "learning_rate": 0.02},
        },
    ),
    Entry(
        key="adversarial",
        kind="adversarial",
        title="Adversarial training",
        equation=r"\mathcal{L}=\mathbb{E}_x\,\text{softplus}(-f(x))+\mathbb{E}_z\,\text{softplus}(f(G(z)))+"
        r"\tfrac{r}{2}\,\mathbb{E}_x\lVert\nabla f(x)\rVert^2,\quad E=-f",
        about="A discriminator as an energy, −log D/(1 − D), against a generator (Goodfellow et al. 2014). No density: "
        "where the generator makes data as they are it says nothing, so the picture is of where the game stands, and "
        "samples of exp(−E) are no samples of the data.",
        term={
            "energy": {"kind": "discriminator", "width": 64, "depth": 4},
            "objective": {
                "kind": "adversarial",
                "generator": {"width": 64, "code": 4},
                "r1": 0.02,
                "rate": 0.2,
            },
            "training": {"n_steps": 800, "learning_rate": 2e-3, "betas": [0.5, 0.99]},
        },
        density=False,
    ),
    Entry(
        key="reconstruction",
        kind="reconstruction",
        title="Denoising autoencoder",
        equation=r"\mathcal{L}=\mathbb{E}\,\lVert x-r(x+s\varepsilon)\rVert^2,\quad E(x)=\lVert x-r(x)\rVert^2",
        about="The energy of a row is what the autoencoder changes about it (Vincent et al. 2010). No density: it is "
        "flat wherever rows are repeated well, along the set and at times beside it.",
        term={
            "energy": {"kind": "autoencoder", "latent": 2, "width": 64, "depth": 3},
            "objective": {"kind": "reconstruction", "noise": 0.6, "code_noise": 0.0},
            "training": {"n_steps": 800, "learning_rate": 5e-3},
        },
        density=False,
    ),
    Entry(
        key="info_nce",
        kind="info_nce",
        title="InfoNCE",
        equation=r"\mathcal{L}=-\mathbb{E}\log\frac{e^{\phi_i\cdot\phi_j/T}}{\sum_k e^{\phi_i\cdot\phi_k/T}},"
        r"\quad E(x)=-T\log\tfrac1n\sum_i e^{\phi(x)\cdot\phi(x_i)/T}",
        about="Features in which two noisy views of a row are near each other and far from other rows (van den Oord et "
        "al. 2018); the energy is by likeness to training rows there, hence in its own units.",
        term={
            "energy": {"kind": "embedding", "width": 64, "depth": 3, "dim": 16},
            "objective": {"kind": "info_nce", "views": {"noise": 0.1, "mask": 0.0}},
            "training": {"n_steps": 500, "learning_rate": 3e-3},
        },
        density=False,
    ),
)
