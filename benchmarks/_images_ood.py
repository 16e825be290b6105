"""AUROC by family: the product, each expert of it alone, and the peers; and AUROC over the pixels of heat maps."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from _images_families import Family
from _images_model import Fitted, expert_energies, expert_names, product_energy
from _images_peers import PEERS, Training, fit

from ebm.evaluation.metrics import auroc

Figures = dict[str, Any]


def aurocs(normal: np.ndarray, anomalies: dict[str, np.ndarray]) -> dict[str, float]:
    """By family, of anomaly scores (n,)."""
    return {
        name: auroc(np.r_[normal, scores], np.r_[np.zeros(len(normal)), np.ones(len(scores))])
        for name, scores in anomalies.items()
    }


def model(fitted: Fitted, normal: np.ndarray, families: dict[str, Family]) -> Figures:
    """The product's and each expert's AUROC by family; false positives at 5%; CPU seconds of the fit by term."""
    detector, began = fitted.detector, time.process_time()
    usual = expert_energies(detector, normal)
    odd = {name: expert_energies(detector, family.images) for name, family in families.items()}
    spent = time.process_time() - began
    energies = product_energy(detector, usual)
    whole = aurocs(energies, {name: product_energy(detector, e) for name, e in odd.items()})
    experts = {
        name: {"families": aurocs(usual[:, k], {f: e[:, k] for f, e in odd.items()})}
        for k, name in enumerate(expert_names(detector))
    }
    return {
        "families": whole,
        "experts": experts,
        "fpr_at_5": float(detector.judge(energies, fpr=0.05).is_anomaly.mean()),
        "cpu": fitted.seconds,
        "ms_an_image": 1e3 * spent / (len(usual) + sum(map(len, odd.values()))),
    }


def peer(name: str, training: Training, normal: np.ndarray, families: dict[str, Family]) -> Figures:
    """By the names of `PEERS[name]`: AUROC by family, CPU seconds of the fit, CPU ms an image."""
    fitted, began = fit(name, training), time.process_time()
    images = [normal, *(family.images for family in families.values())]
    scores = [fitted.score(part).reshape(len(part), -1) for part in images]
    spent = 1e3 * (time.process_time() - began) / sum(map(len, images))
    return {
        who: {
            "families": aurocs(
                scores[0][:, k], {f: s[:, k] for f, s in zip(families, scores[1:], strict=True)}
            ),
            "cpu": {"all": fitted.fit_cpu},
            "ms_an_image": spent,
        }
        for k, who in enumerate(PEERS[name][1])
    }
