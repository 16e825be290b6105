"""Samples beside test images: the Frechet distance on a small classifier's features."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from _images_data import Sizes, Source, Split, to_model
from _images_model import Fitted, noise_conditional
from _images_nets import Classifier, apply, classifier
from scipy.linalg import eigh, eigvalsh

from ebm.detector import Detector
from ebm.errors import EBMError
from ebm.samplers.posterior import Denoiser

CLASSIFIER_STEPS = 1500  # about 80 CPU seconds
PART = 128  # samples at a time
Figures = dict[str, Any]


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """|m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)) of the Gaussians fitted to features (n, d): Frechet (1957), as
    Heusel et al. (2017) use it. Smaller samples give larger distances; compare those of one size.

    The trace of the root is that of (C_a^(1/2) C_b C_a^(1/2))^(1/2), which is symmetric: `sqrtm` of C_a C_b fails where
    a feature is the same in all images.
    """
    mean_a, mean_b = a.mean(0, dtype=np.float64), b.mean(0, dtype=np.float64)
    cov_a, cov_b = np.atleast_2d(np.cov(a.T)), np.atleast_2d(np.cov(b.T))
    values, vectors = eigh(cov_a)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    trace = np.sqrt(np.clip(eigvalsh(root @ cov_b @ root), 0, None)).sum()
    return float(np.square(mean_a - mean_b).sum() + np.trace(cov_a + cov_b) - 2 * trace)


class Judge:
    """A classifier trained on the training file's labels; `accuracy` on the test file, `reference` the features of its
    images but those set aside as `real`."""

    def __init__(self, source: Source, seed: int, sizes: Sizes, work: Path):
        path = work / f"classifier-{seed}-{CLASSIFIER_STEPS}-{len(source.train)}.safetensors"
        train = to_model(source.train)
        self.net: Classifier
        self.net, self.seconds = classifier(train, source.train_labels, CLASSIFIER_STEPS, seed, path)
        test = to_model(source.test)
        self.accuracy = float((apply(self.net, test).argmax(1) == source.test_labels).mean())
        order = np.random.default_rng([seed, 3]).permutation(len(test))
        self.real = test[order[: sizes.generated]]
        self.reference = self.features(test[order[sizes.generated :]])

    def features(self, images: np.ndarray) -> np.ndarray:
        """(n, 32, 32) in [-1, 1] -> (n, 64)."""
        return apply(self.net.features, images)

    def distance(self, images: np.ndarray) -> float:
        return frechet(self.features(images), self.reference)


def beside(judge: Judge, split: Split, seed: int) -> Figures:
    """What to read the distances by: other test images, and a Gaussian with the training images' covariance."""
    rng, n = np.random.default_rng([seed, 4]), len(judge.real)
    flat = split.train.reshape(len(split.train), -1)
    mean, (values, vectors) = flat.mean(0), np.linalg.eigh(np.cov(flat.T))
    drawn = mean + (rng.normal(size=(n, len(values))) * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    gaussian = np.clip(drawn, -1, 1).reshape(judge.real.shape).astype(np.float32)
    return {
        "real test images": {"distance": judge.distance(judge.real)},
        "Gaussian, full covariance": {"distance": judge.distance(gaussian)},
        "classifier": {"accuracy": judge.accuracy, "cpu": {"all": judge.seconds}},
    }


def samplers(detector: Detector) -> dict[str, Detector]:
    """The detector as it samples, and for every other noise-conditional term one that samples from that term alone."""
    sampling = detector.manifest.sampling
    if sampling is None or detector.sampling is None:
        return {}
    found = {"as configured": detector}
    for name in noise_conditional(detector):
        if isinstance(detector.energy.terms[name], Denoiser) and sampling.sampler.kind == "annealed_langevin":
            continue  # it samples by its field, not by its energy
        alone = sampling.model_copy(update={"term": name, "coarse_term": None, "switch_sigma": None})
        if alone != sampling:
            manifest = detector.manifest.model_copy(update={"sampling": alone})
            found[f"{name} alone"] = Detector(
                manifest, detector.preprocessor, detector.energy, detector.calibration, detector.sampling
            )
    return found


def model(fitted: Fitted, judge: Judge, seed: int) -> Figures:
    """By sampling energy: the distance of as many samples as there are real ones."""
    figures: Figures = {}
    for name, detector in samplers(fitted.detector).items():
        began, n = time.process_time(), len(judge.real)
        try:
            drawn = np.concatenate(
                [detector.generate(min(PART, n - k), seed=1000 * seed + k).samples for k in range(0, n, PART)]
            )
        except EBMError as error:
            figures[name] = {"error": str(error)}
            continue
        spent = 1e3 * (time.process_time() - began) / n
        images = detector.preprocessor.transform(drawn)[:, 0]
        figures[name] = {"distance": judge.distance(images), "ms_an_image": spent, "n": n}
        sampling = detector.manifest.sampling
        assert sampling is not None
        figures[name]["term"] = sampling.term
    return figures
