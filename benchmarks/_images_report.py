"""The Markdown of the stored figures: anomalies and pixels; `_images_report_more.py` has the other sections."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from _images_families import BESIDE, NINE, PATCHES, negatives, resembled
from _images_store import Cells

Figures = dict[str, Any]
Runs = dict[str, Figures]  # by seed
# Measured on a prototype before this code was written, one seed; not measured again here.
PROTOTYPE = {
    "kNN5, pixels": 0.857,
    "isolation forest": 0.769,
    "autoencoder, latent 32": 0.864,
    "persistent CD after the textbook": 0.659,
    "best product of contrast and restoration energies": 0.951,
}


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" + "---:|" * (len(head) - 1)]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows), ""]


def number(values: Sequence[float], form: str = ".3f", spread: bool = False) -> str:
    """The mean over seeds, and their sd if wanted and there are several."""
    found = [v for v in values if np.isfinite(v)]
    if not found:
        return "–"
    sd = f" ± {np.std(found, ddof=1):{form}}" if spread and len(found) > 1 else ""
    return f"{np.mean(found):{form}}{sd}"


def over(runs: Runs, pick: Callable[[Figures], float | None]) -> list[float]:
    """One figure of every seed that has it."""
    found = []
    for figures in runs.values():
        try:
            value = pick(figures)
        except KeyError:
            value = None
        if value is not None:
            found.append(value)
    return found


def shown(
    runs: Runs, pick: Callable[[Figures], float | None], form: str = ".3f", spread: bool = False
) -> str:
    return number(over(runs, pick), form, spread)


def mean_of(names: Sequence[str], families: dict[str, float]) -> float:
    found = [families[name] for name in names if name in families]
    return float(np.mean(found)) if found else float("nan")


def flatten(runs: Runs, keys: Callable[[Figures], dict[str, Figures]]) -> dict[str, Runs]:
    """By what each seed's figures hold."""
    found: dict[str, Runs] = {}
    for seed, figures in runs.items():
        for name, inner in keys(figures).items():
            found.setdefault(name, {})[seed] = inner
    return found


def family_rows(named: dict[str, Runs], unseen: Sequence[str], bold: str = "") -> list[list[str]]:
    """Of figures with `families`: the two means with their spread, every family, CPU seconds, milliseconds."""
    rows = []
    for name, runs in named.items():
        row = [f"**{name}**" if name == bold else name]
        for names in (unseen, NINE):
            row.append(shown(runs, lambda f, n=names: mean_of(n, f["families"]), spread=True))
        row += [shown(runs, lambda f, n=n: f["families"].get(n)) for n in (*NINE, *BESIDE)]
        row += [
            shown(runs, lambda f: f["cpu"]["all"], ".0f"),
            shown(runs, lambda f: f["ms_an_image"], ".2f"),
        ]
        rows.append(row)
    return rows


def family_head(unseen: Sequence[str]) -> list[str]:
    return [
        "",
        f"mean of {len(unseen)} unlike any negative",
        "mean of nine",
        *NINE,
        *BESIDE,
        "fit, CPU s",
        "CPU ms an image",
    ]


def seen_row(seen: set[str]) -> list[str]:
    marks = ["yes" if name in seen else "no" for name in (*NINE, *BESIDE)]
    return ["*resembled by a training negative*", "", "", *marks, "", ""]


def unlike(config: Any) -> tuple[set[str], list[str]]:
    """The families that the negatives of a configuration resemble, and those of the nine that they do not."""
    seen = resembled(negatives(config))
    return seen, [name for name in NINE if name not in seen]


def anomalies(store: Cells) -> list[str]:
    model, peers = store.section("ood").get("model", {}), store.section("peers")
    if not model and not peers:
        return []
    seen, unseen = unlike(store.settings.get("config"))
    named: dict[str, Runs] = {"the detector": model} if model else {}
    named |= {f"its {k} alone": v for k, v in flatten(model, lambda f: f["experts"]).items()}
    for runs in peers.values():
        named |= flatten(runs, lambda f: f)
    kinds = ", ".join(sorted(negatives(store.settings.get("config")))) or "none"
    lines = [
        "## Anomalies: AUROC by family", "",
        f"Negatives that training contrasts with: {kinds}. A family is resembled where an image of it could be drawn "
        "from one of them, roughly; the first mean is over the families where none could.", "",
        *table(family_head(unseen), [seen_row(seen), *family_rows(named, unseen, "the detector")]),
    ]  # fmt: skip
    if model:
        rates = shown(model, lambda f: f["fpr_at_5"], ".1%")
        lines += [f"False positives among normal test images at `fpr` 5%: {rates}.", "", *seconds(model)]
    quoted = ", ".join(f"{name} {value:.3f}" for name, value in PROTOTYPE.items())
    return [*lines, f"Of a prototype, mean of nine, quoted and not measured here: {quoted}.", ""]


def seconds(model: Runs) -> list[str]:
    """CPU seconds of the fit by term."""
    parts = [name for name in next(iter(model.values()))["cpu"] if name != "all"]
    told = [f"{part} {shown(model, lambda f, p=part: f['cpu'].get(p), '.0f')}" for part in parts]
    return [f"CPU seconds of training, by term: {', '.join(told)}.", ""]


def pixels(store: Cells) -> list[str]:
    found = store.section("pixels")
    named: dict[str, Runs] = {}
    for what, label in (("model", ""), ("peers", "peer: "), ("digits", "the digits model: ")):
        for name, runs in flatten(found.get(what, {}), lambda f: f).items():
            named[label + name] = runs
    if not named:
        return []
    rows = []
    for name, runs in named.items():
        reasons = {f["error"] for f in runs.values() if "error" in f}
        cells = [
            shown(runs, lambda f, p=p, how=how: f["families"][p][how])
            for p in PATCHES
            for how in ("pooled", "image")
        ]
        rows.append([
            name, *cells, shown(runs, lambda f: f["ms_an_image"], ".1f"), shown(runs, lambda f: f["n"], ".0f")
        ] if not reasons else [name, "; ".join(sorted(reasons)), *[""] * 7])  # fmt: skip
    head = [
        "heat map",
        *(f"{p}, {how}" for p in PATCHES for how in ("pooled", "by image")),
        "CPU ms an image",
        "images",
    ]
    about = (
        "AUROC over pixels of the heat map against those that a planted patch changed: over all images' pixels "
        "together, and the mean of each image's own. Digits: 100 test digits of the shipped model, patches of 3x3."
    )
    return ["## Heat maps: AUROC over pixels", "", about, "", *table(head, rows)]
