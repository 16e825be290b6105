"""Images: anomalies, heat maps, denoising and generation of an energy model of Fashion-MNIST, beside peers.

    python benchmarks/images.py --data-dir DIR --mnist PATH            # everything, three seeds; hours on one core
    python benchmarks/images.py --data-dir DIR --mnist PATH --only ood --seeds 0
    python benchmarks/images.py                                        # no data: the tables of the stored figures

DIR holds Fashion-MNIST's four idx files (plain or .gz; Debian: dataset-fashion-mnist), PATH MNIST's test digits as an
npz with the key `test`. Detectors are kept in the working folder and cells in the results, so that an interrupted run
goes on; a cell is measured anew where the settings that made it have changed. Written: images.json and images.md.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import _images_cd as cd
import _images_denoise as denoise
import _images_generate as generate
import _images_ood as ood
import _images_pixels as pixels
import torch
from _common import CONFIGS, RESULTS
from _images_data import FULL, QUICK, Sizes, Source, Split, load, split
from _images_families import Family, families
from _images_model import Fitted, fitted, made_with, to_user
from _images_peers import PEERS, Training
from _images_report_more import report
from _images_store import Cells
from threadpoolctl import threadpool_limits

from ebm.config import read_yaml
from ebm.errors import EBMError
from ebm.training.config import TrainConfig

SECTIONS = ("ood", "pixels", "denoise", "generate", "cd", "digits")


class Seed:
    """What the sections of one seed share, made when first needed."""

    def __init__(self, source: Source, config: TrainConfig, seed: int, sizes: Sizes, work: Path):
        self.source, self.config, self.seed, self.sizes, self.work = source, config, seed, sizes, work

    @cached_property
    def split(self) -> Split:
        return split(self.source, self.seed, self.sizes, self.config.split)

    @cached_property
    def families(self) -> dict[str, Family]:
        return families(self.source, self.split, self.seed)

    @cached_property
    def fitted(self) -> Fitted:
        return fitted(self.config, self.split, self.seed, self.work)

    @cached_property
    def training(self) -> Training:
        return Training(self.split.train, self.seed)

    @cached_property
    def task(self) -> denoise.Task:
        return denoise.Task(self.split, self.seed, self.sizes)

    @cached_property
    def judge(self) -> generate.Judge:
        return generate.Judge(self.source, self.seed, self.sizes, self.work)


def work_of(
    shared: Seed, chosen: set[str], skip_peers: bool, cds: dict[str, TrainConfig]
) -> list[tuple[str, Any, Any]]:
    """(cell, settings that make its figures, call) of one seed, in order."""
    s, sizes = (
        shared,
        asdict(shared.sizes) | {"mnist": len(shared.source.mnist), "train": len(shared.source.train)},
    )
    ours, plain = [made_with(s.config), sizes], [sizes, s.config.split.model_dump()]
    user = lambda x: to_user(s.config, x)  # noqa: E731
    found: list[tuple[str, Any, Any]] = []

    def add(section: str, what: str, settings: Any, call: Any) -> None:
        found.append((f"{section}/{s.seed}/{what}", settings, call))

    if "ood" in chosen:
        if not skip_peers:
            for name in PEERS:
                add("peers", name, plain, lambda n=name: ood.peer(n, s.training, s.split.normal, s.families))
        add("ood", "model", ours, lambda: ood.model(s.fitted, s.split.normal, s.families))
    if "pixels" in chosen:
        add("pixels", "model", ours, lambda: pixels.model(s.fitted, user, s.families, s.sizes))
        if not skip_peers:
            add("pixels", "peers", plain, lambda: pixels.peers(s.training, s.families, s.sizes))
    if "digits" in chosen or "pixels" in chosen:
        add("pixels", "digits", plain, lambda: pixels.digits(s.seed))
    if "denoise" in chosen:
        if not skip_peers:
            add("denoise", "filters", plain, lambda: denoise.filters(s.task))
        add("denoise", "terms", ours, lambda: denoise.terms(s.fitted, s.task))
        add("denoise", "calls", ours, lambda: denoise.calls(s.fitted, s.config, s.task, s.seed))
        if not skip_peers:
            add("denoise", "blind", ours, lambda: denoise.blind(s.config, s.task, s.split, s.seed, s.work))
    if "generate" in chosen:
        add("generate", "beside", plain, lambda: generate.beside(s.judge, s.split, s.seed))
        add("generate", "model", ours, lambda: generate.model(s.fitted, s.judge, s.seed))
    if "cd" in chosen:
        for label, config in cds.items():
            call = lambda c=config: cd.run(c, s.split, s.families, s.seed, s.sizes, s.work)  # noqa: E731
            add("cd", label, [made_with(config), sizes], call)
    return found


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data-dir", type=Path, help="Fashion-MNIST's folder; without it, only print what is stored"
    )
    parser.add_argument(
        "--mnist", type=Path, help="npz with MNIST's test digits; without it that family is left out"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS), metavar="SECTION",
                        help=f"of {', '.join(SECTIONS)}")  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="fewer test images; training is the same")
    parser.add_argument("--skip-peers", action="store_true")
    parser.add_argument("--config", type=Path, default=CONFIGS / "fashion.yaml")
    parser.add_argument(
        "--cd", type=Path, nargs="+", metavar="YAML", help="default: configs/fashion-cd*.yaml"
    )
    parser.add_argument("--fresh", action="store_true", help="forget the stored cells")
    parser.add_argument(
        "--work", type=Path, default=CONFIGS.parent / "runs" / "images", help="fitted detectors"
    )
    parser.add_argument(
        "--out", type=Path, help="default: benchmarks/results/images.json; --quick: in --work"
    )
    args = parser.parse_args(given)
    args.out = args.out or (args.work / "quick.json" if args.quick else RESULTS / "images.json")
    return args


def compute(args: argparse.Namespace, store: Cells) -> None:
    """Measure what is missing, seed by seed; the report is written after every cell."""
    sizes = QUICK if args.quick else FULL
    config = read_yaml(TrainConfig, args.config)
    given = args.cd or sorted(CONFIGS.glob("fashion-cd*.yaml"))
    cds = cd.with_controls({path.stem: read_yaml(TrainConfig, path) for path in given})
    store.note("config", config.model_dump(mode="json"))
    store.note("cd", {label: one.model_dump(mode="json") for label, one in cds.items()})
    store.note("sizes", asdict(sizes))
    source = load(args.data_dir, args.mnist)
    for seed in args.seeds:
        work = work_of(Seed(source, config, seed, sizes, args.work), set(args.only), args.skip_peers, cds)
        for i, (cell, settings, call) in enumerate(work, 1):
            known = store.has(cell, settings)
            store.get(cell, settings, call)
            write(args.out, store)
            print(f"[{i}/{len(work)}] {cell}{': as stored' if known else ''}", flush=True)


def write(out: Path, store: Cells) -> list[str]:
    lines = report(store)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".md").write_text("\n".join(lines).rstrip() + "\n")
    return lines


def main(given: list[str] | None = None) -> None:
    args = arguments(given)
    torch.set_num_threads(1)
    threadpool_limits(1)  # CPU seconds are those of one thread
    store = Cells(args.out, args.seeds, args.fresh)
    if args.data_dir is not None:
        try:
            compute(args, store)
        except EBMError as error:
            raise SystemExit(f"images.py: {error}") from None
        print("\n".join(write(args.out, store)))
    else:
        print("\n".join(report(store)))


if __name__ == "__main__":
    main()
