"""Products whose experts add up by softplus: by hand, at fixed levels, on disk; linear ones are as they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from ebm import artifact
from ebm.config import validate
from ebm.energies import Expert, KernelConfig, MLPConfig, ProductOfExperts
from ebm.energies.product import Link
from ebm.fitting import fit_detector
from ebm.training.config import ModelConfig

EXPERTS = [Expert("a", 0.1, 2.0), Expert("a", 0.5, 0.3), Expert("b", None, 0.5)]


def rows(n: int = 40, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, 3, generator=torch.Generator().manual_seed(seed))


def product(link: Link, experts: list[Expert] = EXPERTS) -> ProductOfExperts:
    torch.manual_seed(0)
    terms = {
        "a": MLPConfig(width=8, depth=2, noise_conditional=True).build((3,)),
        "b": KernelConfig().build((3,)),
    }
    for term in terms.values():
        term.fit(rows())  # type: ignore[operator]
    out = ProductOfExperts(terms, experts, link).requires_grad_(False)
    out.standardise(out.expert_energies(rows(seed=1)))
    return out


def test_softplus_by_hand() -> None:
    found, x, held_out = product("softplus"), 2 * rows(seed=2), rows(seed=1)
    expected = torch.zeros(40)
    for expert in EXPERTS:
        term = found.terms[expert.term]
        usual = term(held_out, sigma=expert.sigma)
        z = (term(x, sigma=expert.sigma) - usual.mean()) / usual.std()
        expected += expert.weight * torch.log1p(z.exp())
    torch.testing.assert_close(found(x), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.combine(found.expert_energies(x)), found(x))
    torch.testing.assert_close(found.at_levels()(x), found(x), rtol=1e-4, atol=1e-4)


def test_an_ordinary_expert_cannot_make_up_for_another() -> None:
    low, high = torch.tensor([[-20.0, 8.0, 8.0]]), torch.tensor([[0.0, 0.0, 0.0]])
    for link, sign in (("linear", -1), ("softplus", 1)):
        p = product(link, [Expert("a", 0.1, 1.0), Expert("a", 0.5, 1.0), Expert("b", None, 1.0)])
        centre = p.expert_energies(rows(seed=1)).mean(0)
        difference = p.combine(centre + low * p.scales) - p.combine(centre + high * p.scales)
        assert sign * float(difference) > 1


def test_one_expert_is_standardised_too() -> None:
    one = product("softplus", EXPERTS[:1])
    energies = one.expert_energies(rows(seed=1))[:, 0]
    expected = 2.0 * F.softplus((energies - energies.mean()) / energies.std())
    torch.testing.assert_close(one(rows(seed=1)), expected, rtol=1e-4, atol=1e-5)


def test_linear_products_have_no_centres() -> None:
    assert "centres" not in product("linear").state_dict()
    assert torch.equal(product("softplus").centres, product("softplus").expert_energies(rows(seed=1)).mean(0))


@pytest.mark.parametrize("link", ["linear", "softplus", "soft_min"])
def test_a_detector_on_disk_scores_identically(link: Link, tmp_path: Path) -> None:
    values = {
        "preprocessing": {"kind": "standardize"},
        "terms": [
            {"name": "near", "energy": {"kind": "kernel", "bandwidth": 0.1}},
            {
                "name": "far",
                "energy": {"kind": "kernel", "bandwidth": 3.0},
                "weight": 0.5,
                "sigmas": [0.1, 0.5],
            },
        ],
        "link": link,
        "link_temperature": 0.7 if link == "soft_min" else 1.0,
    }
    rng = np.random.default_rng(0)
    detector = fit_detector(
        validate(ModelConfig, values, "test"), rng.normal(size=(60, 3)), rng.normal(size=(40, 3))
    )
    folder = artifact.publish(detector, tmp_path, "a card")
    stored = load_file(folder / "weights.safetensors")
    assert any(name.endswith("centres") and "terms" not in name for name in stored) == (link != "linear")
    other, x = artifact.load(folder), 2 * rng.normal(size=(30, 3))
    assert other.manifest.link == link and other.energy.link == link
    np.testing.assert_array_equal(detector.energies(x), other.energies(x))
    np.testing.assert_array_equal(detector.score(x).p_value, other.score(x).p_value)
    manifest = (folder / "manifest.json").read_text()
    assert '"link"' in manifest
