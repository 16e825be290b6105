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
