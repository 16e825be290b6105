"""Training by two processes on this machine, as the tests of many devices start it:
`python device_runs.py WHAT FOLDER`, once for each rank."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from small_runs import CASES, rows, weights
from torch import Generator, Tensor, nn

from ebm.augment import AugmentConfig
from ebm.energies import ConvConfig, ReconstructionConfig, ShallowConfig
from ebm.energies.analytic import Gaussian
from ebm.negatives import CORRUPTIONS, NegativesConfig
from ebm.objectives import CDConfig, ContrastConfig, DSMConfig
from ebm.objectives import ReconstructionConfig as ReconstructionLoss
from ebm.samplers import LangevinConfig
from ebm.training.config import LoopConfig, StageConfig
from ebm.training.devices import make_fabric
from ebm.training.loop import Trainer
from ebm.training.ranks import share_of

KILL_AT, STEPS = 47, 60
AUGMENT = AugmentConfig(shift=1, noise=0.05)
IMAGES: dict[str, tuple[Any, Any]] = {
    "contrast": (  # as shipped, but for the negatives that only an autoencoder can give
        ConvConfig(widths=(4, 8)),
        ContrastConfig(negatives=NegativesConfig(kinds=dict.fromkeys(CORRUPTIONS, 1.0))),
    ),
    "reconstruction": (
        ReconstructionConfig(latent=4, widths=(4, 8), critic=None),
        ReconstructionLoss(noise=0.0, code_noise=0.3),
    ),
}
ALL = {**CASES, "dsm_by_hand": (ShallowConfig(width=16), DSMConfig(sigma_min=0.1, sigma_max=2.0)), **IMAGES}
LOOP: dict[str, Any] = {"n_steps": STEPS, "batch_size": 32, "checkpoint_every": 20, "warmup_steps": 5}


def images() -> Tensor:
    """(40, 1, 8, 8) in [-1, 1]: blots of several sizes."""
    g = Generator().manual_seed(0)
    grid = torch.linspace(-1, 1, 8)
    size = 0.2 + torch.rand(40, 1, 1, generator=g)
    return 2 * torch.exp(-(grid[:, None] ** 2 + grid**2) / size)[:, None] - 1


def trainer(name: str, fabric: Any, objective: Any = None, **settings: Any) -> Trainer:
    config, objective_config = ALL[name]
    x = images() if name in IMAGES else rows()
    torch.manual_seed(fabric.global_rank)  # rank 0's weights count, wherever the others begin
    energy = config.build(tuple(x.shape[1:]))
    energy.fit(x)
    augment = AUGMENT if name == "contrast" else None
    loop = LoopConfig(**LOOP | {"augment": augment} | settings)
    stage = share_of(StageConfig(objective=objective_config, training=loop), fabric.world_size)
    return Trainer(energy, objective or stage.objective.build(), x, loop, fabric, seed=3)


def gaussian_by_cd(fabric: Any) -> nn.Module:
    """As the contract of objectives trains it, by two processes of half the batch."""
    d = 8
    energy = Gaussian(torch.zeros(d), torch.eye(d), learnable=True)
    objective = CDConfig(k_steps=5, sampler=LangevinConfig(step_size=0.05)).build()
    loop = LoopConfig(
        n_steps=500, batch_size=512, learning_rate=0.03, weight_decay=0, warmup_steps=0, clip=100
    )
    x = target(d).sample(20_000, Generator().manual_seed(2))
    return Trainer(energy, objective, x, loop, fabric, seed=1).run()


def target(d: int) -> Gaussian:
    """Correlated, with standard deviations from .7 to 1.4."""
    rotation = torch.linalg.qr(torch.randn(d, d, generator=Generator().manual_seed(d))).Q
    precision = rotation @ torch.diag(torch.linspace(0.7, 1.4, d) ** -2) @ rotation.T
    return Gaussian(torch.linspace(-0.5, 0.5, d), (precision + precision.T) / 2)


# -- in each process --------------------------------------------------------------------------------------------------


def every_case(fabric: Any, folder: Path) -> None:
    """Final weights of all cases by rank, and what they log; one stops early, one diverges, and one rank is killed."""
    for name in ALL:
        run = trainer(name, fabric, log_every=20)
        logged = Lines()
        run.run(path=folder / f"{name}.safetensors", on_step=logged)
        save_file(contiguous(run.plain) | {"logged": torch.tensor(logged.lines)}, at(folder, name, fabric))
    stopped_by_one(fabric, folder)
    killed(fabric, folder / "killed", 1)


def gaussian(fabric: Any, folder: Path) -> None:
    save_file(contiguous(gaussian_by_cd(fabric)), at(folder, "gaussian", fabric))


class Lines:
    """Keeps what is logged."""

    def __init__(self) -> None:
        self.lines: list[list[float]] = []

    def __call__(self, _step: int, _n: int, figures: dict[str, float]) -> None:
        self.lines.append(list(figures.values()))


def contiguous(module: nn.Module) -> dict[str, Tensor]:
    return {k: v.contiguous() for k, v in weights(module).items()}


def at(folder: Path, name: str, fabric: Any) -> Path:
    return folder / f"{name}.weights{fabric.global_rank}"


def stopped_by_one(fabric: Any, folder: Path) -> None:
    """Rank 1 alone is told to stop at step 33, and diverges alone at step 45."""
    from ebm.errors import Cancelled
    from ebm.types import LossOutput

    run = trainer("cd", fabric)
    try:
        run.run(
            path=folder / "stop.safetensors", should_stop=lambda: bool(fabric.global_rank) and run.step == 33
        )
    except Cancelled as reason:
        (folder / f"stop.{fabric.global_rank}").write_text(str(reason))

    inner = CASES["cd"][1].build()

    class Faulty:
        calls = 0

        def __call__(self, energy: Any, x: Tensor, generator: Generator) -> LossOutput:
            Faulty.calls += 1
            out = inner(energy, x, generator)
            bad = fabric.global_rank == 1 and Faulty.calls == 45
            return LossOutput(out.loss * float("nan"), out.metrics) if bad else out

        state_dict, load_state_dict = inner.state_dict, inner.load_state_dict

    run = trainer("cd", fabric, Faulty())
    run.run()
    text = f"{run.step} {run.rate_scale} {Faulty.calls}"
    (folder / f"diverged.{fabric.global_rank}").write_text(text)


def killed(fabric: Any, folder: Path, rank: int) -> None:
    """This rank's process kills itself at a step between two checkpoints."""

    def on_step(step: int, _n: int, _figures: dict[str, float]) -> None:
        if step == KILL_AT and fabric.global_rank == rank:
            os.kill(os.getpid(), signal.SIGKILL)

    run = trainer("persistent_cd", fabric, log_every=1)
    run.run(path=folder / "persistent_cd.safetensors", on_step=on_step)


def resumed(fabric: Any, folder: Path) -> None:
    run = trainer("persistent_cd", fabric)
    run.run(path=folder / "persistent_cd.safetensors", resume=True)
    save_file(contiguous(run.plain), at(folder, "resumed", fabric))


# -- in the test's process --------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def environment(rank: int, port: int, world: int = 2) -> dict[str, str]:
    """What a launcher gives each process."""
    return os.environ | {
        "OMP_NUM_THREADS": "1",
        "LOCAL_RANK": str(rank),
        "NODE_RANK": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(world),
    }


def both(*arguments: object) -> tuple[list[int], str]:
    """Run this file by two ranks; their exit codes, and what they say."""
    port = free_port()
    command = [sys.executable, __file__, *map(str, arguments)]
    said = subprocess.PIPE, subprocess.STDOUT
    processes = [
        subprocess.Popen(command, env=environment(rank, port), stdout=said[0], stderr=said[1], text=True)
        for rank in range(2)
    ]
    try:
        texts = [process.communicate(timeout=120)[0] for process in processes]
        return [process.returncode for process in processes], "".join(texts)
    finally:
        for process in processes:
            process.kill()


def found(folder: Path, name: str, rank: int) -> dict[str, Tensor]:
    return load_file(folder / f"{name}.weights{rank}")


def main(what: str, folder: str) -> None:
    torch.set_num_threads(1)
    fabric = make_fabric("cpu", devices=2)
    fabric.launch()
    runs = {f.__name__: f for f in (every_case, gaussian, resumed)}
    runs[what](fabric, Path(folder))
    fabric.barrier()  # rank 0 holds the store, in which the others may still look
    torch.distributed.destroy_process_group()  # threads of gloo that outlive the interpreter may abort the process


if __name__ == "__main__":
    main(*sys.argv[1:])
