"""Networks that the benchmark itself trains: two peers (autoencoder, blind denoiser) and the judge of samples."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Generator, Tensor, nn

Loss = Callable[[nn.Module, Tensor, Generator], Tensor]


class AutoEncoder(nn.Module):
    """x (B, 1, 32, 32) -> the same through 32 numbers: strided convolutions down to 4x4 and back."""

    def __init__(self, latent: int = 32, width: int = 24):
        super().__init__()
        w = width
        self.encode = nn.Sequential(
            nn.Conv2d(1, w, 3, 2, 1), nn.SiLU(), nn.Conv2d(w, 2 * w, 3, 2, 1), nn.SiLU(),
            nn.Conv2d(2 * w, 4 * w, 3, 2, 1), nn.SiLU(), nn.Flatten(), nn.Linear(64 * w, latent),
        )  # fmt: skip
        self.decode = nn.Sequential(
            nn.Linear(latent, 64 * w), nn.Unflatten(1, (4 * w, 4, 4)), nn.SiLU(),
            nn.ConvTranspose2d(4 * w, 2 * w, 4, 2, 1), nn.SiLU(), nn.ConvTranspose2d(2 * w, w, 4, 2, 1), nn.SiLU(),
            nn.ConvTranspose2d(w, 1, 4, 2, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))


class Classifier(nn.Module):
    """`features` (B, 64) and the ten classes' logits; x (B, 1, 32, 32)."""

    def __init__(self, width: int = 24):
        super().__init__()
        w = width
        self.body = nn.Sequential(
            nn.Conv2d(1, w, 3, 2, 1), nn.ReLU(), nn.Conv2d(w, 2 * w, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(2 * w, 4 * w, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64 * w, 64),
        )  # fmt: skip
        self.head = nn.Linear(64, 10)

    def features(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


class BlindDenoiser(nn.Module):
    """x plus a network of x, (B, 1, H, W); nothing tells it how noisy x is."""

    def __init__(self, body: nn.Module):
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x, None)


def train(
    net: nn.Module,
    x: Tensor,
    loss: Loss,
    n_steps: int,
    batch: int,
    seed: int,
    rate: float = 2e-3,
    path: Path | None = None,
) -> float:
    """AdamW on batches of x (n, ...), 50 warm-up steps then cosine; the CPU seconds it took.

    loss: of the network, (rows, generator); `x[rows]` is the batch. `path` keeps the weights, so that a run that was
    interrupted finds them.
    """
    if path is not None and path.exists():
        tensors = load_file(path)
        seconds = float(tensors.pop("cpu_seconds"))
        net.load_state_dict(tensors)
        net.requires_grad_(False).eval()
        return seconds
    began, generator = time.process_time(), Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=1e-4)
    for step in range(n_steps):
        rows = torch.randint(len(x), (batch,), generator=generator)
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / 50) * 0.5 * (1 + math.cos(math.pi * step / n_steps))
        optimizer.zero_grad()
        value = loss(net, rows, generator)
        value.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
    net.requires_grad_(False).eval()
    seconds = time.process_time() - began
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        tensors = {name: value.contiguous() for name, value in net.state_dict().items()}
        save_file(tensors | {"cpu_seconds": torch.tensor(seconds)}, path)
    return seconds


def tensor(images: np.ndarray) -> Tensor:
    """(n, H, W) -> (n, 1, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(images, np.float32)).unsqueeze(1)


@torch.no_grad()
def apply(call: Callable[[Tensor], Tensor], images: np.ndarray, batch: int = 250) -> np.ndarray:
    """`call` of (b, 1, H, W) on images (n, H, W), part by part; its answers as they are, (n, ...)."""
    return torch.cat([call(part) for part in tensor(images).split(batch)]).numpy()


def autoencoder(
    images: np.ndarray, n_steps: int, seed: int, path: Path | None = None
) -> tuple[AutoEncoder, float]:
    """Trained on images (n, 32, 32) to reconstruct them."""
    torch.manual_seed(seed)
    net, x = AutoEncoder(), tensor(images)
    seconds = train(
        net, x, lambda net, rows, _: (net(x[rows]) - x[rows]).square().mean(), n_steps, 128, seed, path=path
    )
    return net, seconds


def classifier(
    images: np.ndarray, labels: np.ndarray, n_steps: int, seed: int, path: Path | None = None
) -> tuple[Classifier, float]:
    """Trained on all classes of images (n, 32, 32), labels (n,)."""
    torch.manual_seed(seed)
    net, x, y = Classifier(), tensor(images), torch.from_numpy(labels).long()
    seconds = train(
        net, x, lambda net, rows, _: F.cross_entropy(net(x[rows]), y[rows]), n_steps, 128, seed, path=path
    )
    return net, seconds


def blind_denoiser(
    body: nn.Module, images: np.ndarray, n_steps: int, batch: int, seed: int, path: Path | None = None
) -> tuple[BlindDenoiser, float]:
    """Trained to return images (n, H, W) from noise of sd uniform in [.05, .6], which it is not told."""
    net, x = BlindDenoiser(body), tensor(images)

    def loss(net: nn.Module, rows: Tensor, generator: Generator) -> Tensor:
        clean = x[rows]
        sigma = 0.05 + 0.55 * torch.rand((len(clean), 1, 1, 1), generator=generator)
        return (net(clean + sigma * torch.randn(clean.shape, generator=generator)) - clean).square().mean()

    return net, train(net, x, loss, n_steps, batch, seed, path=path)
