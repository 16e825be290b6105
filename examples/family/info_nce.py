"""InfoNCE: features by which a view of a digit is found among many, and an energy by likeness in them.

python examples/family/info_nce.py
"""

from __future__ import annotations

import numpy as np
import torch

from ebm.augment import AugmentConfig
from ebm.data import load_builtin
from ebm.energies import EmbeddingConfig
from ebm.evaluation.metrics import auroc
from ebm.objectives import InfoNCEConfig
from ebm.training.config import LoopConfig
from ebm.training.loop import Trainer, make_fabric


def main(quick: bool = False) -> dict[str, float]:
    # Normal are the digits 0 to 8; the nines are left out of training.
    table = load_builtin("digits")
    images = torch.from_numpy(np.asarray(table.values, dtype=np.float32))[:, None] / 8 - 1
    nine = torch.from_numpy(np.asarray(table.labels) == 9)
    normal = images[~nine]
    train, test = normal[:1200], torch.cat([normal[1200:], images[nine]])
    y = [0] * len(normal[1200:]) + [1] * int(nine.sum())

    torch.manual_seed(0)
    energy = EmbeddingConfig(dim=32, widths=(16, 32), n_bank=1024).build((1, 8, 8))
    energy.fit(train)  # type: ignore[operator]
    with torch.no_grad():
        before = auroc(energy(test).numpy(), y)

    # Each digit is moved, turned and blurred twice, by chance; its two views should be found alike, all else unlike.
    views = AugmentConfig(shift=1, rotate=10, scale=0.1, noise=0.2)
    objective = InfoNCEConfig(temperature=0.2, image_views=views).build()
    loop = LoopConfig(n_steps=5 if quick else 400, batch_size=64, learning_rate=1e-3, log_every=1)
    logged: list[dict[str, float]] = []
    run = Trainer(energy, objective, train, loop, make_fabric("cpu"), seed=0)
    run.run(on_step=lambda step, n, figures: logged.append(figures))
    energy.settle(train)  # type: ignore[operator]  # the bank: what the trained features make of training digits
    with torch.no_grad():
        after = auroc(energy(test).numpy(), y)

    nearest = torch.cdist(test.flatten(1), train.flatten(1)).amin(1)
    by_pixels = auroc(nearest.numpy(), y)
    print(
        f"the other view is found first: {logged[0]['accuracy']:.2f} at first, {logged[-1]['accuracy']:.2f} at last"
    )
    print(f"AUROC of nines: untrained features {before:.3f}, trained {after:.3f}")
    print(f"and of the distance to the nearest training digit, pixel by pixel: {by_pixels:.3f}")
    return {"untrained": before, "trained": after, "nearest": by_pixels, "accuracy": logged[-1]["accuracy"]}


if __name__ == "__main__":
    main()
