"""Presets: configurations that need no choice, as plain values for `ModelConfig`."""

from __future__ import annotations

from typing import Any

NETWORK_WEIGHT = 0.15


def tabular(network: bool = True) -> dict[str, Any]:
    """The default for tables: kernel energies in several views, and a score-matched network, as a product of experts.

    The kernels rank best on most tables (benchmarks/results/tabular.md); the network denoises and generates, and adds
    a smooth opinion where rows are many. Every training row is used, and left out in turn to calibrate.
    """
    terms: list[dict[str, Any]] = [{"name": "kernels", "energy": {"kind": "kernel_views"}}]
    if not network:
        return _common(terms)
    terms.append(
        {
            "name": "network",
            "energy": {"kind": "shallow", "sigma_min": 0.1, "sigma_max": 4.0},
            "objective": {"kind": "dsm", "sigma_min": 0.1, "sigma_max": 4.0},
            "training": {
                "n_steps": 1000,
                "batch_size": 128,
                "learning_rate": 2e-3,
                "weight_decay": 0.01,
                "warmup_steps": 50,
                "clip": 5.0,
                "ema": 0.99,
            },
            "weight": NETWORK_WEIGHT,
            "sigmas": [0.2, 0.4, 0.8],
        }
    )
    sampler = {"kind": "annealed_langevin", "sigma_min": 0.1, "sigma_max": 4.0, "n_levels": 20}
    sampler |= {"step_size": 0.2, "n_steps_per_level": 5}
    return _common(terms) | {"sampling": {"term": "network", "sampler": sampler}}


def _common(terms: list[dict[str, Any]]) -> dict[str, Any]:
    return {"preprocessing": {"kind": "mixed"}, "terms": terms, "calibration": "leave_one_out"}


def image() -> dict[str, Any]:
    """The default for images of 8 to 128 pixels a side, 1 to 3 channels: three energies, each blind to other faults.

    `manifold`: reconstruction and a critic, contrasted with corrupted data; `chains`: the same trained on by
    contrastive divergence, whose chains start at corrupted data; `density`: the energy of noisy images at every noise
    level, by denoising score matching, which also denoises, fills in and generates, and whose worst local residual
    finds faults of a few pixels. Each is standardised on held-out images, and their softplus added up
    (benchmarks/results/images.md).
    """
    reconstruction = {"kind": "reconstruction"}
    autoencoder = {
        "objective": {"kind": "reconstruction"},
        "training": _loop(900, 64, 2e-3, only=["autoencoder"]),
    }
    manifold = {
        "name": "manifold",
        "energy": reconstruction,
        "pretraining": [autoencoder],
        "objective": {"kind": "contrast"},
        "training": _loop(4000, 64, 1.5e-3, weight_decay=1e-2, only=["critic", "base_weight"]),
    }
    chains = {
        "name": "chains",
        "energy": reconstruction,
        "start_from": "manifold",
        "objective": {
            "kind": "cd",
            "k_steps": 5,
            "negatives": {},
            "sampler": {"kind": "langevin", "step_size": 0.2, "noise_scale": 0.005, "box": [-1, 1]},
            "l2": 0.2,
            "data_noise": 0.02,
        },
        "training": _loop(600, 32, 1e-3, ema=0.99, betas=[0.5, 0.99], only=["critic", "base_weight"]),
    }
    density = {
        "name": "density",
        "energy": {"kind": "unet", "rank": 192},
        "objective": {"kind": "dsm", "sigma_min": 0.03, "sigma_max": 12.0, "log_mean": -0.5},
        "training": _loop(4000, 32, 2e-3),
        "local_sigmas": [0.8],
    }
    return {
        "preprocessing": {"kind": "image"},
        "precision": "auto",
        "weights": "float16",
        "terms": [manifold, chains, density],
        "link": "softplus",
        "sampling": {"term": "density", "sampler": {"kind": "ancestral"}},
    }


def _loop(n_steps: int, batch_size: int, learning_rate: float, **more: Any) -> dict[str, Any]:
    return {"n_steps": n_steps, "batch_size": batch_size, "learning_rate": learning_rate} | more
