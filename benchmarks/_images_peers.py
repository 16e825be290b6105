"""Detectors to compare with, fitted on the same training images; scores rise with anomaly."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import numpy as np
from _images_nets import autoencoder, tensor
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestNeighbors

Score = Callable[[np.ndarray], np.ndarray]
AUTOENCODER_STEPS = 1500  # about a CPU minute


class Peer(NamedTuple):
    """`score` of images (n, 32, 32) -> (n,), or to (n, K) where one search answers for K peers, named in `names`."""

    score: Score
    names: tuple[str, ...]
    fit_cpu: float


class Training:
    """What several peers need of the training images (n, 32, 32)."""

    def __init__(self, images: np.ndarray, seed: int):
        self.images, self.seed = images, seed

    @cached_property
    def flat(self) -> np.ndarray:
        return self.images.reshape(len(self.images), -1)

    def pca(self, n: int) -> PCA:
        return PCA(min(n, len(self.flat) - 1), random_state=self.seed).fit(self.flat)


def neighbours(training: Training) -> Score:
    """Distances to the 1st and the 5th neighbour, on all training images; brute force."""
    index = NearestNeighbors(n_neighbors=5, algorithm="brute").fit(training.flat)
    return lambda images: index.kneighbors(flat(images))[0][:, [0, 4]]


def pca_neighbours(training: Training) -> Score:
    pca = training.pca(50)
    index = NearestNeighbors(n_neighbors=5, algorithm="brute").fit(pca.transform(training.flat))
    return lambda images: index.kneighbors(pca.transform(flat(images)))[0][:, [0, 4]]


def forest(training: Training) -> Score:
    model = IsolationForest(random_state=training.seed).fit(training.flat)
    return lambda images: -model.score_samples(flat(images))


def pca_residual(training: Training) -> Score:
    pca = training.pca(100)
    return lambda images: np.square(flat(images) - pca.inverse_transform(pca.transform(flat(images)))).sum(1)


def mixture(training: Training) -> Score:
    """Ten Gaussians with full covariances on 50 principal components."""
    pca = training.pca(50)
    model = GaussianMixture(10, random_state=training.seed, reg_covar=1e-4).fit(pca.transform(training.flat))
    return lambda images: -model.score_samples(pca.transform(flat(images)))


def reconstruction(training: Training) -> Score:
    """|x - AE(x)|^2 of a plain autoencoder, latent 32."""
    net, _ = autoencoder(training.images, AUTOENCODER_STEPS, training.seed)
    return lambda images: np.concatenate(
        [(x - net(x)).square().flatten(1).sum(1).numpy() for x in tensor(images).split(500)]
    )


PEERS: dict[str, tuple[Callable[[Training], Score], tuple[str, ...]]] = {
    "neighbours": (neighbours, ("1-NN, pixels", "kNN5, pixels")),
    "pca_neighbours": (pca_neighbours, ("1-NN, PCA50", "kNN5, PCA50")),
    "forest": (forest, ("isolation forest",)),
    "pca_residual": (pca_residual, ("PCA100 reconstruction",)),
    "mixture": (mixture, ("GMM10, PCA50",)),
    "autoencoder": (reconstruction, ("autoencoder, latent 32",)),
}


def fit(name: str, training: Training) -> Peer:
    call, names = PEERS[name]
    began = time.process_time()
    score = call(training)
    return Peer(score, names, time.process_time() - began)


def flat(images: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(images.reshape(len(images), -1), dtype=np.float32)
