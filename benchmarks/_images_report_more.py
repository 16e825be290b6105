"""The Markdown of denoising, generation, contrastive divergence and the 8x8 digits."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from _common import RESULTS, heading
from _images_denoise import BLOCK, SHARES, SIGMAS
from _images_report import (
    Figures,
    Runs,
    anomalies,
    family_head,
    family_rows,
    flatten,
    mean_of,
    number,
    pixels,
    seen_row,
    shown,
    table,
    unlike,
)
from _images_store import Cells


def denoising(store: Cells) -> list[str]:
    found = store.section("denoise")
    named = {f"`{k}`, sigma given": v for k, v in flatten(found.get("terms", {}), lambda f: f).items()}
    if "calls" in found:
        named["the detector, sigma estimated"] = found["calls"]
    if "blind" in found:
        named["U-Net that is told no sigma"] = found["blind"]
    named |= flatten(found.get("filters", {}), lambda f: f)
    if not named:
        return []
    columns = [("gaussian", f"{s:g}") for s in SIGMAS] + [("pepper", f"{p:.0%}") for p in SHARES]
    rows = []
    for name, runs in named.items():
        row = [name, *(shown(runs, lambda f, a=a, b=b: f[a][b], ".2f") for a, b in columns)]
        rows.append([*row, shown(runs, lambda f: f["block"], ".2f"),
                     shown(runs, lambda f: f["ms_an_image"], ".1f"),
                     shown(runs, lambda f: f["cpu"]["all"], ".0f")])  # fmt: skip
    head = [
        "",
        *(f"σ {s:g}" for s in SIGMAS),
        *(f"salt and pepper {p:.0%}" for p in SHARES),
        f"{BLOCK}x{BLOCK} missing",
    ]
    notes = [
        "PSNR in dB, peak 2, all answers clipped to [-1, 1]; of the missing block over its pixels. Filters: "
        "scikit-image, parameters chosen on training images, as is the noise level at which a term takes away salt "
        "and pepper.", "",
    ]  # fmt: skip
    parts = [f"{r['n_steps']} steps, {r['parameters']} parameters" for r in found.get("blind", {}).values()]
    notes += [f"The U-Net without sigma: {parts[0]}, noise of sd .05 to .6.", ""] if parts else []
    failed = {r["error"] for runs in named.values() for r in runs.values() if "error" in r}
    return [
        "## Denoising",
        "",
        *notes,
        *table([*head, "CPU ms an image", "fit, CPU s"], rows),
        *(f"- {e}" for e in failed),
    ]


def generation(store: Cells) -> list[str]:
    found = store.section("generate")
    named = flatten(found.get("beside", {}), lambda f: {k: v for k, v in f.items() if "distance" in v})
    named |= flatten(found.get("model", {}), lambda f: f)
    if not named:
        return []
    rows = [
        [name, shown(runs, lambda f: f["distance"], ".1f", spread=True),
         shown(runs, lambda f: f["ms_an_image"], ".0f"),
         "; ".join(sorted({f["error"] for f in runs.values() if "error" in f}))]
        for name, runs in named.items()
    ]  # fmt: skip
    judge = {seed: f["classifier"] for seed, f in found.get("beside", {}).items()}
    about = (
        "Fréchet distance to test images on the 64 features of a small classifier "
        f"(test accuracy {shown(judge, lambda f: f['accuracy'])}, "
        f"{shown(judge, lambda f: f['cpu']['all'], '.0f')} CPU s), "
        f"{store.settings.get('sizes', {}).get('generated', '?')} samples a row."
    )
    return ["## Generation", "", about, "", *table(["samples", "distance", "CPU ms a sample", ""], rows)]


def divergence(store: Cells) -> list[str]:
    """Families, checkpoints and energies of every configuration trained by contrastive divergence."""
    found = store.section("cd")
    if not found:
        return []
    configs: dict[str, Any] = store.settings.get("cd", {})
    lines = ["## Contrastive divergence", ""]
    for label, runs in found.items():
        seen, unseen = unlike(configs.get(label))
        named: dict[str, Runs] = {"product": runs}
        experts = flatten(runs, lambda f: f["experts"])
        named |= {f"its {k} alone": v for k, v in experts.items()} if len(experts) > 1 else {}
        updates = next(iter(runs.values()))["updates"]
        told = ", ".join(f"{term} {n}" for term, n in updates.items())
        lines += [f"### {label}", "", f"Updates of the last stage: {told}.", ""]
        lines += table(family_head(unseen), [seen_row(seen), *family_rows(named, unseen)])
        lines += [*checkpoints(runs), *energies(runs)]
    return lines


def checkpoints(runs: Runs) -> list[str]:
    """The mean of nine at each checkpoint, over seeds."""
    from _images_families import NINE

    found: dict[tuple[str, int], list[float]] = {}
    for figures in runs.values():
        for point in figures["checkpoints"]:
            found.setdefault((point["term"], point["step"]), []).append(mean_of(NINE, point["families"]))
    rows = [[term, str(step), number(values, spread=True)] for (term, step), values in found.items()]
    return table(["AUROC as it trains, mean of nine", "updates", "AUROC"], rows) if rows else []


def energies(runs: Runs, most: int = 12) -> list[str]:
    """The curve of the first seed: energies of data and of negatives, their gap, and the loss."""
    curve: list[Figures] = next(iter(runs.values()))["curve"]
    if not curve:
        return []
    chosen = sorted({int(i) for i in np.linspace(0, len(curve) - 1, min(most, len(curve)))})
    names = ("real", "fake", "gap", "loss")
    rows = [[f"{curve[i]['step']:.0f}", *(number([curve[i].get(n, np.nan)]) for n in names)] for i in chosen]
    head = ["updates (first seed)", "mean energy of data", "of negatives", "gap", "loss"]
    return table(head, rows)


def digits() -> list[str]:
    """The summary of `benchmarks/digits.py`, as it is stored."""
    file = RESULTS / "digits.json"
    if not file.exists():
        return []
    stored = json.loads(file.read_text())
    rows = []
    for prefix, label, key in (
        ("loco", "a class left out, AUROC", "{}"),
        ("corrupted", "nine kinds of damage, AUROC", "{}: auroc"),
    ):
        cells = [v for k, v in stored["cells"].items() if k.startswith(prefix + "/")]
        who = {
            w: [c[key.format(w)] for c in cells if key.format(w) in c]
            for w in ("model", "knn1", "knn5", "isolation_forest")
        }
        rows.append([label, *(number(values, ".4f") for values in who.values())])
    noise = [v for k, v in stored["cells"].items() if k.startswith("psnr/")]
    lines = [
        "## Digits, 8x8 (benchmarks/digits.py)",
        "",
        *table(["", "model", "1-NN", "kNN5", "isolation forest"], rows),
    ]
    keys = list(noise[0]) if noise else []
    return lines + (
        table(["PSNR, dB", *keys], [["model", *(number([c[k] for c in noise], ".2f") for k in keys)]])
        if keys
        else []
    )


def report(store: Cells) -> list[str]:
    """The whole report as lines."""
    lines = ["# Images", ""]
    if store.run:
        lines += [
            heading(store.run).rstrip()
            + f" Threads: {store.run['threads']}. Each cell's date is in images.json. "
            + store.settings.get("assembled", ""),
            "",
        ]
    lines += [
        "Fashion-MNIST padded to 32x32, [-1, 1]. Training and calibration: the configuration's shares of the training "
        "file, for peers the same. Normal side: 2,000 seeded test images; other test images for what is altered (fewer "
        "with `--quick`). "
        "Means over seeds, ± sd over seeds. CPU seconds are budgets on this machine, not claims.", "",
    ]  # fmt: skip
    for part in (anomalies, pixels, denoising, generation, divergence):
        lines += part(store)
    return [*lines, *digits()]
