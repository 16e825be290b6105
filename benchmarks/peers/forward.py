"""The detector's work in plain torch, for the peers: standardise, MLP energy, p-value. Needs nothing of `ebm`.

What the peers run is leaner than what the service runs: no padding to blocks, no check of cells, no ranks.
"""

import json
import os
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import load_file as load_arrays
from safetensors.torch import load_file as load_tensors


class Forward:
    """Energies, standardised anomaly scores, p-values and labels of rows (n, d), from a published model's folder."""

    def __init__(self, folder: str | Path | None = None):
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
        folder = Path(folder or os.environ["PEER_MODEL"])
        manifest = json.loads((folder / "manifest.json").read_text())
        (term,) = manifest["terms"]
        assert term["energy"]["kind"] == "mlp" and manifest["preprocessing"]["kind"] == "standardize"
        tensors = load_tensors(folder / "weights.safetensors")
        prefix = f"energy.terms.{term['name']}."
        self.w = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        self.depth = term["energy"]["depth"]
        self.base = term["energy"]["base"] == "gaussian"
        arrays = load_arrays(folder / "calibration.safetensors")
        self.mean, self.sd = arrays["preprocessing.mean"], arrays["preprocessing.sd"]
        self.scores = arrays["calibration.scores"]
        calibration = manifest["calibration"]
        self.centre, self.spread = calibration["mean"], calibration["sd"]
        self.fpr = calibration["default_fpr"]

    @torch.inference_mode()
    def energies(self, rows: np.ndarray) -> np.ndarray:
        w = self.w
        z = torch.from_numpy(((rows - self.mean) / self.sd).astype(np.float32))
        centred, variance = z - w["scale.mean"], w["scale.variance"]
        a = F.silu(F.linear(centred / variance.sqrt(), w["body.first.weight"], w["body.first.bias"]))
        for i in range(self.depth - 1):
            a = a + F.silu(F.linear(a, w[f"body.hidden.{i}.weight"], w[f"body.hidden.{i}.bias"]))
        energy = F.linear(a, w["body.out.weight"], w["body.out.bias"]).squeeze(1)
        if self.base:
            energy = energy + (centred.square() / (2 * variance)).sum(1)
            energy = energy + 0.5 * z.shape[1] * variance.log()
        return energy.numpy()

    def __call__(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        energy = self.energies(np.asarray(rows, np.float64))
        anomaly_score = (energy.astype(np.float64) - self.centre) / self.spread
        n = len(self.scores)
        p_value = (1 + n - np.searchsorted(self.scores, anomaly_score, side="left")) / (1 + n)
        return {
            "energy": energy,
            "anomaly_score": anomaly_score,
            "p_value": p_value,
            "is_anomaly": p_value <= self.fpr,
        }
