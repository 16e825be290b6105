"""The model card: what a person should know before trusting a model, written from its manifest."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ebm.manifest import Manifest

ABOUT = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "fpr_at_95_tpr": "FPR at 95% TPR",
    "precision_at_n": "precision at n",
}
NAMES = {"knn1": "1-NN", "knn5": "kNN, 5th neighbour", "isolation_forest": "isolation forest"}


def model_card(manifest: Manifest) -> str:
    """Markdown: what the model is, its data, split and seed, its figures beside the baselines', limits."""
    data, calibration = manifest.data, manifest.calibration
    source = manifest.training.get("data", {})
    normal = source.get("normal")
    lines = [
        f"# {manifest.name}, version {manifest.version}",
        "",
        manifest.description or "No description.",
        "",
        "## Data",
        "",
        f"- Source: {data.source or 'not stated'}, sha256 `{data.fingerprint[:16]}`.",
        f"- Normal rows: {'all' if normal is None else 'labels ' + ', '.join(map(str, normal))}.",
        f"- Split (random, seed {data.seed}): {data.n_train} training, {data.n_calibration} calibration, "
        f"{data.n_test} test rows, all normal and disjoint.",
        f"- Input: {_input(manifest)}.",
        "",
        "## Energy",
        "",
        *(
            f"- `{t.name}`: {t.energy.kind} energy, {t.objective.kind if t.objective else 'fitted'}, "
            f"weight {t.weight:g}"
            + (f", noise levels {', '.join(f'{s:g}' for s in t.sigmas)}" if t.sigmas else "")
            for t in manifest.terms
        ),
        "",
        f"Anomaly scores are energies standardised on {calibration.n} held-out normal rows. p-values are "
        f"conformal on the same rows; the smallest is {1 / (calibration.n + 1):.2g}. Flags "
        f"p <= {calibration.default_fpr:g} unless a request says otherwise.",
        "",
        "## Measured",
        "",
        *_figures(manifest),
        "",
        "## Limits",
        "",
        "Energies are unnormalised: compare them within this model only. p-values hold for new rows that are "
        "exchangeable with the calibration rows; after drift they do not.",
        "",
        "## Made with",
        "",
        f"{manifest.created}; "
        + ", ".join(f"{k} {v}" for k, v in manifest.versions.items())
        + ". Configuration:",
        "",
        "```json",
        json.dumps(manifest.training, indent=1),
        "```",
        "",
    ]
    return "\n".join(lines)


def _input(manifest: Manifest) -> str:
    schema = manifest.input
    if schema.get("kind") == "image":
        return (
            f"images {schema['height']} x {schema['width']} x {schema['channels']}, "
            f"pixels from {schema['low']:g} to {schema['high']:g}"
        )
    return f"rows of {len(schema['columns'])} numbers"


def _figures(manifest: Manifest) -> list[str]:
    """The four ranking metrics of the model and the baselines, then what else was measured of the model."""
    metrics = manifest.metrics
    if not metrics:
        return ["Nothing: the data hold no anomalies to measure against."]
    kinds = sorted(k.removeprefix("auroc_") for k in metrics if k.startswith("auroc_"))
    against = (
        f"The normal test rows against {len(kinds)} kinds of damage to them ({', '.join(kinds)}), averaged."
        if kinds
        else "The normal test rows against the rows with other labels."
    )
    shown = [k for k in ABOUT if k in metrics]
    rows = {"this model": metrics, **{NAMES.get(k, k): v for k, v in manifest.baselines.items()}}
    table = [
        "| | " + " | ".join(ABOUT[k] for k in shown) + " |",
        "|---" * (len(shown) + 1) + "|",
        *(
            f"| {name} | " + " | ".join(f"{m[k]:.4f}" if k in m else "" for k in shown) + " |"
            for name, m in rows.items()
        ),
    ]
    rest = []
    if {"actual_fpr", "detected_at_default_fpr"} <= set(metrics):
        rest = [
            "",
            f"At the default rate {manifest.calibration.default_fpr:g} it flags {metrics['actual_fpr']:.1%} of "
            f"the normal test rows and {metrics['detected_at_default_fpr']:.1%} of the anomalies.",
        ]
    return [against + " The baselines are fitted on the same training rows.", "", *table, *rest]
