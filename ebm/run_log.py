"""What a run writes as it goes and when it ends: metrics.jsonl, TensorBoard events, curves and sample pictures."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from ebm.detector import Detector
from ebm.errors import Unsupported
from ebm.pictures import grid, save_png
from ebm.run_pictures import denoising_picture, draw_energies, draw_progress

HELD_OUT = 512  # images that the pictures of a run are drawn from


class RunLog:
    """Appends one JSON line per logged step: {"term", "step", "loss", ...}.

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
        # A killed run may have logged past its last checkpoint; those steps come again.
        if any(line["term"] == term and line["step"] >= step for line in self.lines[-200:]):
            self.lines = [line for line in self.lines if line["term"] != term or line["step"] < step]
            self.stream.close()
            self._rewrite()
        line = {"term": term, "step": step, **figures}
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

    def look(self, term: str, step: int, energy: torch.nn.Module, x: torch.Tensor) -> None:
        """Pictures of an energy of images, half trained: see `draw_progress`; x (N, C, H, W) are held-out images."""
        folder = self.folder / "pictures" / term
        folder.mkdir(parents=True, exist_ok=True)
        draw_progress(energy, x[:HELD_OUT], folder, step)

    def draw(self, detector: Detector, held_out: Any = None) -> None:
        """curves.png from the log; samples.png from the model, where it generates; of image models also energies.png
        and, where they denoise, denoising.png, by normal rows `held_out` (N, ...) in user units."""
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
    """One panel for the loss and one for E(real), E(fake) and the gap, by term."""
    terms = list(dict.fromkeys(line["term"] for line in lines))
    if not terms:
        return
    figure, axes = _figure(2)
    for term in terms:
        mine = [line for line in lines if line["term"] == term]
        steps = [line["step"] for line in mine]
        axes[0].plot(steps, [line["loss"] for line in mine], label=term)
        for name in ("real", "fake", "gap"):
            if all(name in line for line in mine):
                axes[1].plot(steps, [line[name] for line in mine], label=f"{term}: {name}")
    for axis, title in zip(axes, ("loss", "energy of data (real), of negatives (fake), gap"), strict=True):
        axis.set(title=title, xlabel="step")
        axis.legend(fontsize="small")
    figure.savefig(path, dpi=110)


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
