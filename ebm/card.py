"""The model card: what a manifest says, for people."""

from __future__ import annotations

from ebm.manifest import Manifest

HEADERS = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "fpr_at_95_tpr": "FPR at 95% TPR",
    "precision_at_n": "precision at n",
}
NAMES = {"knn1": "1-NN", "knn5": "kNN5", "isolation_forest": "isolation forest"}


def model_card(manifest: Manifest) -> str:
    """Markdown: data, split, seed, energies, calibration, and the figures beside the baselines'."""
    m, data = manifest, manifest.data
    terms = [_term(t.model_dump()) for t in m.terms]
    lines = [
        f"# {m.name} {m.version}",
        "",
        *([m.description, ""] if m.description else []),
        f"- Data: {data.source}, sha256 `{data.fingerprint[:16]}`"
        if data.source
        else "- Data: given in memory",
        f"- Split (seed {data.seed}): {_split(m)}",
        f"- Energy: sum over {'; '.join(terms)}",
        *(f"- Note: {note}" for note in m.notes),
        f"- Label: anomalous where the conformal p-value is at most {m.calibration.default_fpr:g} "
        "(a request may ask for another rate)",
        f"- Made {m.created} with " + ", ".join(f"{k} {v}" for k, v in m.versions.items()),
        "",
    ]
    if m.metrics:
        lines += _figures(m)
    return "\n".join(lines) + "\n"


def _split(m: Manifest) -> str:
    """How many rows did what."""
    data, n = m.data, m.calibration.n
    if m.calibration.method == "split":
        return (
            f"{data.n_train} normal rows to train, {data.n_calibration} to calibrate, {data.n_test} to test"
        )
    which = "they" if n == data.n_train else f"{n} of them"
    return (
        f"{data.n_train} normal rows to train; {which} also calibrate, each by a model that has not seen it "
        f"(leave-one-out; in folds for a trained energy); {data.n_test} to test"
    )


def _term(term: dict) -> str:
    energy, objective = term["energy"], term["objective"]
    trained = f"trained by {objective['kind']}" if objective else "fitted"
    views = f" in the views {', '.join(energy['views'])}" if "views" in energy else ""
    levels = f" at noise {', '.join(f'{s:g}' for s in term['sigmas'])}" if term["sigmas"] else ""
    return f"`{term['name']}` ({energy['kind']} energy{views}, {trained}{levels}, weight {term['weight']:g})"


def _figures(m: Manifest) -> list[str]:
    synthetic = [k.removeprefix("auroc_") for k in m.metrics if k.startswith("auroc_")]
    against = (
        "synthetic damage to the test images, mean over " + ", ".join(k.replace("_", " ") for k in synthetic)
        if synthetic
        else "the rows that are labelled otherwise"
    )
    shown = [k for k in HEADERS if k in m.metrics]
    rows = {"**this model**": m.metrics} | {NAMES.get(k, k): v for k, v in m.baselines.items()}
    table = [f"| | {' | '.join(HEADERS[k] for k in shown)} |", "|---" * (len(shown) + 1) + "|"]
    table += [f"| {who} | " + " | ".join(f"{v[k]:.3f}" for k in shown) + " |" for who, v in rows.items()]
    lines = [
        f"Normal test rows against {against}; the baselines have the same training rows:",
        "",
        *table,
        "",
    ]
    if "actual_fpr" in m.metrics:
        lines += [
            f"At the default rate {m.calibration.default_fpr:g}, {m.metrics['actual_fpr']:.1%} of the normal test rows "
            f"and {m.metrics['detected_at_default_fpr']:.1%} of the anomalies are labelled anomalous."
        ]
    return lines
