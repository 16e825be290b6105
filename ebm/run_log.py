"""What a run writes as it goes and when it ends: metrics.jsonl, TensorBoard events, curves and pictures."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from ebm.detector import Detector
from ebm.errors import Unsupported
from ebm.noise_check import KINDS, NoiseCheck, check_noise
from ebm.pictures import grid, save_png
from ebm.run_chains import draw_model_chain, draw_training_chain
from ebm.run_pictures import at_level, denoising_picture, draw_energies, draw_progress

HELD_OUT = 512  # images that the pictures of a run are drawn from
LEVEL = 0.25  # the noise level at which an energy of many is looked at
MODEL = "model"  # in place of a term's name: the product of all terms


class RunLog:
    """Appends one JSON line per logged step: {"term", "step", "loss", ...}, and one per look at an energy: {"term",
    "step", "noise/data", ...}, the figures of `ebm.noise_check`, at the end with term "model".

    Raises:
        Unsupported: TensorBoard is asked for but not installed.
    """

    def __init__(self, folder: Path, *, resume: bool, tensorboard: bool):
        self.folder = folder
        self.file = folder / "metrics.jsonl"
        self.lines = _complete_lines(self.file) if resume else []
        self.events: Any = None
        if tensorboard:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                raise Unsupported(
                    "tensorboard: true needs the extra: pip install 'ebm-service[tensorboard]'"
                ) from None
            self.events = SummaryWriter(folder / "tensorboard")
        self._rewrite()

    def _rewrite(self) -> None:
        self.stream = self.file.open("w", encoding="utf-8")
        for line in self.lines:
            self.stream.write(json.dumps(line) + "\n")

    def write(self, term: str, step: int, figures: dict[str, float]) -> None:
        line = {"term": term, "step": step, **figures}
        # A killed run may have logged past its last checkpoint; those steps come again.
        if any(one["term"] == term and _place(one) >= _place(line) for one in self.lines[-200:]):
            self.lines = [one for one in self.lines if one["term"] != term or _place(one) < _place(line)]
            self.stream.close()
            self._rewrite()
        self.lines.append(line)
        self.stream.write(json.dumps(line) + "\n")
        self.stream.flush()
        if self.events is not None:
            for name, value in figures.items():
                self.events.add_scalar(f"{term}/{name}", value, step)

    def close(self) -> None:
        self.stream.close()
        if self.events is not None:
            self.events.close()

    def look(
        self, term: str, step: int, energy: torch.nn.Module, x: torch.Tensor, objective: Any = None
    ) -> None:
        """The noise check of an energy half trained, on held-out rows x (N, ...). Of images also pictures: see
        `draw_progress`, and the chain by which `objective` (its configuration) gets negatives."""
        self.write(term, step, check_noise(at_level(energy, LEVEL), x).figures())
        if x.dim() != 4:
            return
        folder = self.folder / "pictures" / term
        folder.mkdir(parents=True, exist_ok=True)
        draw_progress(energy, x[:HELD_OUT], folder, step)
        draw_training_chain(energy, objective, x, folder / f"chain-{step}.png")

    def draw(
        self,
        detector: Detector,
        held_out: Any = None,
        checked: NoiseCheck | None = None,
        objectives: Mapping[str, Any] | None = None,
    ) -> None:
        """curves.png from the log; samples.png from the model, where it generates; of image models also energies.png
        and, where they denoise, denoising.png, by normal rows `held_out` (N, ...) in user units, and chain.png: the
        chain by which the model generates, or by which the first of `objectives` (by term) with chains gets negatives.
        What `checked` found is logged."""
        if checked is not None:
            last = max((line["step"] for line in self.lines), default=0)
            self.write(MODEL, last, checked.figures())
        draw_curves(self.lines, self.folder / "curves.png")
        if "generate" in detector.can:
            samples = detector.generate(64, seed=0).samples
            if detector.kind == "image":
                schema = detector.manifest.input
                save_png(
                    grid(samples, float(schema["low"]), float(schema["high"]), scale=4),
                    self.folder / "samples.png",
                )
            else:
                draw_columns(samples, detector.columns, self.folder / "samples.png")
        if detector.kind == "image" and held_out is not None and len(held_out):
            x = torch.from_numpy(detector.preprocessor.transform(held_out[:HELD_OUT])).to(detector.device)
            draw_energies(detector.energy, x, self.folder / "energies.png")
            config = detector.manifest.sampling
            if config is not None and "denoise" in detector.can:
                generator = torch.Generator(x.device).manual_seed(0)
                picture = denoising_picture(detector.energy.terms[config.term], x, generator)
                save_png(picture, self.folder / "denoising.png")
            if config is not None:
                draw_model_chain(detector, self.folder / "chain.png")
                return
            for term, objective in (objectives or {}).items():
                if draw_training_chain(detector.energy.terms[term], objective, x, self.folder / "chain.png"):
                    return


def _place(line: dict[str, Any]) -> tuple[int, bool]:
    """Where a line of a term belongs: a look comes after the step that it is taken at."""
    return line["step"], "loss" not in line


def _complete_lines(file: Path) -> list[dict[str, Any]]:
    """The log so far; a last line cut short by a kill is dropped."""
    lines = []
    for text in file.read_text(encoding="utf-8").splitlines() if file.exists() else []:
        try:
            lines.append(json.loads(text))
        except ValueError:
            break
    return lines


def _figure(columns: int) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.5 * columns, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(1, columns, squeeze=False)[0]


def draw_curves(lines: list[dict[str, Any]], path: Path) -> None:
    """One panel for the loss and its parts, one for E(real), E(fake) and the gap, and, where noise was looked at, one
    for how well it is told from data; by term."""
    steps, looks = [line for line in lines if "loss" in line], [line for line in lines if "loss" not in line]
    if not steps:
        return
    figure, axes = _figure(3 if looks else 2)
    titles = [
        "loss",
        "energy of data (real), of negatives (fake), gap",
        "AUROC of noise against held-out data",
    ]
    for names, axis in ((("loss", "cd", "reg"), axes[0]), (("real", "fake", "gap"), axes[1])):
        _plot(axis, steps, names)
    if looks:
        _plot(axes[2], looks, [f"noise/{kind}_auroc" for kind in KINDS], marker="o")
        axes[2].axhline(0.5, color="grey", linewidth=0.8)
        axes[2].set_ylim(-0.03, 1.03)
    for axis, title in zip(axes, titles, strict=False):
        axis.set(title=title, xlabel="step")
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize="small")
    figure.savefig(path, dpi=110)


def _plot(axis: Any, lines: list[dict[str, Any]], names: Sequence[str], **style: Any) -> None:
    """A curve for each term and each of the figures that it has."""
    for term in dict.fromkeys(line["term"] for line in lines):
        for name in names:
            mine = [line for line in lines if line["term"] == term and name in line]
            if mine:
                label = (
                    term
                    if name == "loss"
                    else f"{term}: {name.removeprefix('noise/').removesuffix('_auroc')}"
                )
                axis.plot(
                    [line["step"] for line in mine], [line[name] for line in mine], label=label, **style
                )


def draw_columns(samples: np.ndarray | pa.Table, columns: list[str] | None, path: Path) -> None:
    """Histograms of the first four columns of generated rows; bars for columns that are not numbers."""
    shown = min(4, samples.shape[1])
    figure, axes = _figure(shown)
    for j in range(shown):
        cells = samples[:, j].tolist() if isinstance(samples, np.ndarray) else samples.column(j).to_pylist()
        if all(isinstance(cell, int | float) and not isinstance(cell, bool) for cell in cells):
            axes[j].hist(cells, bins=20)
        else:
            counts = Counter(str(cell) for cell in cells).most_common(20)
            axes[j].barh([level for level, _ in counts], [count for _, count in counts])
        axes[j].set(title=columns[j] if columns else f"column {j}", ylabel="generated rows")
    figure.savefig(path, dpi=110)
