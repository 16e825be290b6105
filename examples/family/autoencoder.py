"""An autoencoder as an energy of rows: what it cannot repeat is unusual, in a metric that is fitted or learnt.

    python examples/family/autoencoder.py

Benign cases of scikit-learn's breast-cancer table train it; malignant ones should have higher energies.
"""

from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score

from ebm.energies import AutoencoderConfig
from ebm.objectives import CDConfig, ReconstructionConfig
from ebm.samplers import MALAConfig


def train(energy, objective, x: torch.Tensor, n_steps: int, parameters) -> None:
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(parameters, lr=2e-3, weight_decay=1e-2)
    for _ in range(n_steps):
        batch = x[torch.randint(len(x), (128,), generator=generator)]
        loss, _ = objective(energy, batch, generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def main(quick: bool = False) -> dict[str, float]:
    data = load_breast_cancer()
    benign, malignant = data.data[data.target == 1], data.data[data.target == 0]
    order = np.random.default_rng(0).permutation(len(benign))
    seen, new = benign[order[:250]], benign[order[250:]]
    mean, sd = seen.mean(0), seen.std(0)
    x, test = (
        torch.as_tensor((rows - mean) / sd, dtype=torch.float32)
        for rows in (seen, np.vstack([new, malignant]))
    )
    labels = np.r_[np.zeros(len(new)), np.ones(len(malignant))]
    figures: dict[str, float] = {}
    for name, metric, noise in [
        ("plain autoencoder", "euclidean", 0.0),
        ("denoising autoencoder", "euclidean", 0.3),
        ("denoising, covariance metric", "covariance", 0.3),
        ("denoising, metric learnt by CD", "learned", 0.3),
    ]:
        torch.manual_seed(0)
        energy = AutoencoderConfig(latent=6, width=64, metric=metric).build((x.shape[1],))
        energy.fit(x)
        reconstruction = ReconstructionConfig(noise=noise, code_noise=0.0).build()
        train(energy, reconstruction, x, 3 if quick else 1500, energy.autoencoder.parameters())
        energy.settle(x)  # the scale, and the metric, from the residuals
        if (
            metric == "learned"
        ):  # chains from the data tell the metric which residuals it wrongly calls normal
            cd = CDConfig(k_steps=5, sampler=MALAConfig(step_size=0.01)).build()
            train(energy, cd, x, 3 if quick else 300, [energy.lower])
        with torch.no_grad():
            auroc = float(roc_auc_score(labels, energy(test).numpy()))
            far = float(energy(100 * x).min() / energy(x).max())
        print(
            f"{name:32} AUROC {auroc:.3f}; least energy 100 times as far out, over the highest of data: {far:.0f}"
        )
        figures[name] = auroc
    return figures


if __name__ == "__main__":
    main()
