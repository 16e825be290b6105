"""Negatives: kinds in their shares, in groups, refused by name; moves on the manifold of an autoencoder."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Generator, Tensor

from ebm.config import validate
from ebm.energies import ReconstructionConfig, ReconstructionEnergy
from ebm.errors import BadConfig
from ebm.negatives import CORRUPTIONS, DEFAULT, Negatives, NegativesConfig
from ebm.negatives.latent import latent_moves


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def images(n: int, shape: tuple[int, ...] = (1, 8, 8)) -> Tensor:
    return 2 * torch.rand((n, *shape), generator=seeded(1)) - 1


class Codes:
    """An autoencoder that repeats everything: the code of an image is the image."""

    latent_mean = torch.zeros(64)
    latent_root = 0.2 * torch.eye(64)

    def encode(self, x: Tensor) -> Tensor:
        return x.flatten(1)

    def decode(self, code: Tensor) -> Tensor:
        return code.reshape(-1, 1, 8, 8)


def test_kinds_come_in_proportion_to_their_weights() -> None:
    negatives = NegativesConfig(kinds={"gray": 3.0, "flip": 1.0, "phase": 0.0}, group=2).build()
    x = images(4000)
    y = negatives(None, x, seeded())
    gray = y.flatten(1).std(1) < 1e-6
    assert float(gray.float().mean()) == pytest.approx(0.75, abs=0.03)
    # The others are the data, upside down: each image gave one negative, in another order.
    flipped = {tuple(row.tolist()) for row in x.flip(2).flatten(1)[:, :3]}
    rest = [tuple(row.tolist()) for row in y[~gray].flatten(1)[:, :3]]
    assert len(set(rest)) == len(rest) and set(rest) <= flipped


def test_groups_share_a_kind() -> None:
    y = NegativesConfig(kinds={"gray": 1.0, "flip": 1.0}, group=8).build()(None, images(83), seeded())
    assert y.shape == (83, 1, 8, 8)
    for group in (y.flatten(1).std(1) < 1e-6).tensor_split(10):
        assert len(group) >= 8
        assert group.all() or not group.any()


@pytest.mark.parametrize("n", [2, 3, 9, 17])
def test_no_image_is_left_alone_to_be_mixed_with_itself(n: int) -> None:
    x = images(n)
    y = NegativesConfig(kinds={"mixup": 1.0}, group=8).build()(None, x, seeded())
    assert (y[:, None] - x[None]).abs().amax((2, 3, 4)).min() > 1e-3


def test_the_generator_decides_and_the_data_stay() -> None:
    negatives, x = NegativesConfig().build(), images(40)
    before, codes = x.clone(), Codes()
    y = negatives(codes, x, seeded(3))
    torch.rand(3)
    assert torch.equal(negatives(codes, x, seeded(3)), y)
    assert not torch.equal(negatives(codes, x, seeded(4)), y)
    assert torch.equal(x, before)
    assert y.shape == x.shape and y.dtype == x.dtype and y.abs().max() <= 1 + 1e-6


def test_snapping_hides_what_is_near_the_ends() -> None:
    x = torch.tensor([-1.2, -0.96, -0.9, 0.0, 0.94, 0.951, 1.0])
    expected = torch.tensor([-1.0, -1.0, -0.9, 0.0, 0.94, 1.0, 1.0])
    assert torch.equal(NegativesConfig(snap=0.05).build().snapped(x), expected)
    assert torch.equal(NegativesConfig(snap=0.0).build().snapped(x), x)


def test_the_default_kinds_exist_and_work_on_any_images() -> None:
    assert set(DEFAULT) <= {"latent", *CORRUPTIONS}
    for shape in ((1, 8, 8), (3, 8, 8), (1, 10, 13)):
        torch.manual_seed(0)
        energy = ReconstructionEnergy(shape, ReconstructionConfig(latent=3, widths=(4, 6), critic=None))
        energy.settle(images(20, shape))
        y = NegativesConfig(group=2).build()(energy, images(60, shape), seeded())
        assert y.shape == (60, *shape) and torch.isfinite(y).all() and not y.requires_grad


# ---- latent ----------------------------------------------------------------------------------------------


def test_latent_moves_decode_other_codes() -> None:
    x = images(400)
    y = latent_moves(x, Codes(), seeded())
    assert y.shape == x.shape and y.abs().max() <= 1 and not y.requires_grad
    assert (y - x).abs().amax((1, 2, 3)).min() > 1e-3
    # Where a share of the code is another image's, every pixel is one of the two.
    swapped = (
        (y[:, None] - x[None]).abs().flatten(2).lt(1e-6).float().mean(2)
    )  # (400, 400) share of equal pixels
    two = swapped.topk(2).values
    full = two.sum(1) > 0.99
    assert float(full.float().mean()) == pytest.approx(0.25, abs=0.08)  # one of four kinds of move
    assert (two[full, 1] > 0.05).all()


def test_latent_moves_leave_what_the_autoencoder_cannot_repeat() -> None:
    class Halves(Codes):
        """Keeps the upper half of an image only."""

        latent_mean, latent_root = torch.zeros(32), 0.2 * torch.eye(32)

        def encode(self, x: Tensor) -> Tensor:
            return x[:, :, :4].flatten(1)

        def decode(self, code: Tensor) -> Tensor:
            upper = code.reshape(-1, 1, 4, 8)
            return torch.cat([upper, torch.zeros_like(upper)], 2)

    x = images(500)
    lower = latent_moves(x, Halves(), seeded())[:, :, 4:]
    kept = (lower - x[:, :, 4:]).abs().amax((1, 2, 3)) < 1e-6
    assert (kept | (lower == 0).all(3).all(2).all(1)).all()
    assert float(kept.float().mean()) == pytest.approx(0.6, abs=0.07)


# ---- refusals --------------------------------------------------------------------------------------------


def test_latent_needs_an_autoencoder() -> None:
    with pytest.raises(BadConfig, match="'latent' need an energy with an autoencoder"):
        NegativesConfig(kinds={"latent": 1.0}).build()(torch.nn.Linear(2, 2), images(4), seeded())


def test_rows_of_a_table_are_no_images() -> None:
    with pytest.raises(BadConfig, match=r"corruptions are of images \(C, H, W\); the data have shape \(5,\)"):
        NegativesConfig(kinds={"flip": 1.0}).build()(None, torch.zeros(4, 5), seeded())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"kinds": {"blurr": 1.0}},
            "unknown kind 'blurr'; there are bands, blur, box_constant.*latent.*threshold",
        ),
        ({"kinds": {}}, "at least one kind needs a weight above 0"),
        ({"kinds": {"blur": 0.0}}, "at least one kind needs a weight above 0"),
        ({"kinds": {"blur": -1.0}}, "kinds.blur: .*greater than or equal to 0"),
        ({"group": 1}, "group: "),
        ({"snap": 1.0}, "snap: "),
    ],
)
def test_bad_negatives_are_refused_by_name(values: dict[str, Any], message: str) -> None:
    with pytest.raises(BadConfig, match=message) as caught:
        validate(NegativesConfig, values, "test")
    assert "\n" not in str(caught.value)
    with pytest.raises(ValidationError):
        NegativesConfig.model_validate(values)


def test_weights_become_those_of_the_draw() -> None:
    built = NegativesConfig(kinds={"flip": 2.0, "gray": 0.0, "blur": 1.0}).build()
    assert isinstance(built, Negatives)
    assert built.names == ["flip", "blur"] and built.weights.tolist() == [2.0, 1.0]
