"""Persistent chains: what is drawn, written back, restarted and restored."""

import pytest
import torch
from torch import Generator, Tensor

from ebm.errors import BadConfig
from ebm.samplers import ReplayBuffer


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def noise(n: int, generator: Generator) -> Tensor:
    return torch.randn((n, 2), generator=generator)


def zeros(n: int, generator: Generator) -> Tensor:
    del generator
    return torch.zeros((n, 2))


def ones(n: int, generator: Generator) -> Tensor:
    return zeros(n, generator) + 1


def test_places_of_a_draw_all_differ() -> None:
    buffer = ReplayBuffer(50, 0.1)
    x, idx = buffer.sample(50, noise, seeded())
    assert x.shape == (50, 2) and len(buffer) == 50
    assert sorted(idx.tolist()) == list(range(50))


def test_updated_chains_come_back() -> None:
    buffer = ReplayBuffer(20, 0.0)
    x, idx = buffer.sample(20, zeros, seeded())
    moved = torch.arange(40.0).reshape(20, 2)
    buffer.update(idx, moved)
    again, places = buffer.sample(20, ones, seeded(1))
    expected = torch.empty(20, 2)
    expected[idx] = moved
    assert torch.equal(again, expected[places])
    assert torch.equal(x, torch.zeros(20, 2))


def test_a_draw_does_not_alias_the_buffer() -> None:
    buffer = ReplayBuffer(4, 0.0)
    x, _ = buffer.sample(4, zeros, seeded())
    x += 5
    again, _ = buffer.sample(4, zeros, seeded())
    assert torch.equal(again, torch.zeros(4, 2))


def test_update_detaches() -> None:
    buffer = ReplayBuffer(4, 0.0)
    x, idx = buffer.sample(4, zeros, seeded())
    buffer.update(idx, x.requires_grad_(True) * 2)
    assert not buffer.sample(4, zeros, seeded())[0].requires_grad


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_share_of_fresh_starts(share: float) -> None:
    buffer = ReplayBuffer(1000, share)
    generator = seeded()
    buffer.load_state_dict({"states": torch.zeros(1000, 2)})
    drawn = [buffer.sample(1000, ones, generator)[0][:, 0] for _ in range(10)]
    assert float(torch.cat(drawn).mean()) == pytest.approx(share, abs=0.015)


def test_a_restored_buffer_continues_bit_by_bit() -> None:
    def turn(buffer: ReplayBuffer, generator: Generator) -> Tensor:
        x, idx = buffer.sample(8, noise, generator)
        buffer.update(idx, x * 1.5 + 1)
        return x

    whole, generator = ReplayBuffer(30, 0.2), seeded()
    for _ in range(5):
        turn(whole, generator)
    saved, at = whole.state_dict(), generator.get_state()
    before = saved["states"].clone()
    expected = [turn(whole, generator) for _ in range(5)]

    resumed, generator = ReplayBuffer(30, 0.2), seeded(9)
    resumed.load_state_dict(saved)
    generator.set_state(at)
    for want in expected:
        assert torch.equal(turn(resumed, generator), want)
    assert torch.equal(saved["states"], before)  # good for a second resume


def test_state_before_the_first_draw_is_empty() -> None:
    buffer = ReplayBuffer(3)
    assert buffer.state_dict() == {} and len(buffer) == 0
    other = ReplayBuffer(3)
    other.sample(1, noise, seeded())
    other.load_state_dict(buffer.state_dict())
    assert len(other) == 0


def test_same_seed_same_draw() -> None:
    first = ReplayBuffer(30, 0.3).sample(10, noise, seeded(4))
    second = ReplayBuffer(30, 0.3).sample(10, noise, seeded(4))
    assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])


def test_misuse_is_named() -> None:
    with pytest.raises(BadConfig, match="size must be at least 1"):
        ReplayBuffer(0)
    with pytest.raises(BadConfig, match="fresh_share"):
        ReplayBuffer(3, 1.5)
    with pytest.raises(BadConfig, match="cannot draw 4 chains from a buffer of 3"):
        ReplayBuffer(3).sample(4, noise, seeded())
    with pytest.raises(BadConfig, match="before the first sample"):
        ReplayBuffer(3).update(torch.tensor([0]), torch.zeros(1, 2))
    with pytest.raises(BadConfig, match="holds 5 chains, not 3"):
        ReplayBuffer(3).load_state_dict({"states": torch.zeros(5, 2)})
