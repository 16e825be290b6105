"""Rows that are read batch by batch are the rows that the preprocessor makes of all at once, prepared ahead or not."""

import threading

import numpy as np
import pytest
import torch

from ebm.data.batches import Batches
from ebm.data.pixels import InMemory, Pixels
from ebm.errors import BadInput
from ebm.preprocessing.image import ScaleImage

RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 256, (50, 6, 5)).astype(np.uint8)
COLOUR = RNG.integers(0, 256, (50, 6, 5, 3)).astype(np.uint8)
DIGITS = RNG.integers(0, 17, (50, 8, 8)).astype(np.float32)
REAL = RNG.uniform(-2, 3, (50, 4, 4, 2)).astype(np.float32)
INDEX = torch.tensor([7, 7, 49, 0, 13])


def fitted(values, low=0.0, high=255.0):
    return ScaleImage(low, high).fit(values)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    "values, low, high, stored",
    [
        (GRAY, 0, 255, torch.uint8),
        (COLOUR, 0, 255, torch.uint8),
        (GRAY.astype(np.float32), 0, 255, torch.uint8),
        (GRAY.astype(np.int64), -10, 300, torch.uint8),
        (DIGITS, 0, 16, torch.uint8),
        (REAL, -2, 3, torch.float32),
        (DIGITS + 0.5, 0, 17, torch.float32),
        (DIGITS - 1, -1, 16, torch.float32),
        (DIGITS * 20, 0, 320, torch.float32),
    ],
)
def test_batches_are_exactly_what_the_preprocessor_gives(values, low, high, stored):
    preprocessor = fitted(values, low, high)
    pixels = Pixels.of(values, preprocessor)
    got = pixels.batch(INDEX)
    np.testing.assert_array_equal(got.numpy(), preprocessor.transform(values)[INDEX.numpy()])
    assert got.dtype == torch.float32 and got.is_contiguous()
    assert pixels.take(INDEX).dtype == stored
    assert len(pixels) == 50 and pixels.shape == preprocessor.shape


@pytest.mark.parametrize("values", [GRAY, COLOUR, REAL])
def test_a_file_stays_on_disk(tmp_path, values):
    np.save(tmp_path / "x.npy", values)
    preprocessor = fitted(values, -2, 255)
    pixels = Pixels.open(tmp_path / "x.npy", preprocessor)
    assert isinstance(pixels.values, np.memmap)
    np.testing.assert_array_equal(pixels.batch(INDEX).numpy(), preprocessor.transform(values)[INDEX.numpy()])


def test_files_that_are_none(tmp_path):
    preprocessor = fitted(GRAY)
    (tmp_path / "x.npy").write_bytes(b"x" * 100)
    with pytest.raises(BadInput, match="x.npy: not a readable npy file"):
        Pixels.open(tmp_path / "x.npy", preprocessor)
    np.save(tmp_path / "x.npy", GRAY)
    (tmp_path / "x.npy").write_bytes((tmp_path / "x.npy").read_bytes()[:-1])
    with pytest.raises(BadInput, match="x.npy: not a readable npy file"):
        Pixels.open(tmp_path / "x.npy", preprocessor)
    np.save(tmp_path / "x.npy", COLOUR)
    with pytest.raises(BadInput, match=r"shape \(6, 5, 3\), the model takes \(6, 5\)"):
        Pixels.open(tmp_path / "x.npy", preprocessor)


@pytest.mark.parametrize("ahead", [0, 1, 3])
def test_batches_are_the_draws_of_the_generator_whatever_is_prepared(ahead):
    pixels = Pixels(GRAY, fitted(GRAY))
    batches = Batches(pixels, 8, seeded(5), ahead=ahead)
    own = seeded(5)
    for _ in range(6):
        want = pixels.batch(torch.randint(50, (8,), generator=own))
        assert torch.equal(batches.next(), want)
        assert torch.equal(batches.state(), own.get_state())
    batches.close()
    assert torch.equal(batches.generator.get_state(), own.get_state())
    assert torch.equal(batches.next(), pixels.batch(torch.randint(50, (8,), generator=own)))  # and it goes on
    batches.close()


@pytest.mark.parametrize("ahead", [0, 3])
def test_a_run_goes_on_where_it_was(ahead):
    x = torch.arange(100.0)[:, None]
    batches = Batches(InMemory(x), 4, seeded(1), ahead=ahead)
    for _ in range(3):
        batches.next()
    state = batches.state()
    after = [batches.next() for _ in range(4)]
    batches.restore(state)
    again = [batches.next() for _ in range(4)]
    fresh = Batches(InMemory(x), 4, seeded(99), ahead=ahead)
    fresh.restore(state)
    for one, two, three in zip(after, again, (fresh.next() for _ in range(4)), strict=True):
        assert torch.equal(one, two) and torch.equal(one, three)
    batches.close()
    fresh.close()


class Failing(InMemory):
    """Rows of which the fourth batch cannot be read."""

    reads = 0

    def take(self, index):
        self.reads += 1
        if self.reads == 4:
            raise BadInput("row 17: cannot be read", row=17)
        return super().take(index)


@pytest.mark.parametrize("ahead", [0, 1, 8])
def test_an_error_in_the_thread_reaches_the_caller_in_its_turn(ahead):
    batches = Batches(Failing(torch.arange(9.0)), 2, seeded(), ahead=ahead)
    for _ in range(3):
        assert batches.next().shape == (2,)
    with pytest.raises(BadInput, match="row 17: cannot be read") as caught:
        batches.next()
    assert caught.value.row == 17
    if ahead:
        with pytest.raises(BadInput, match="row 17"):  # not a wait without end
            batches.next()
    batches.close()
    batches.restore(seeded().get_state())
    assert batches.next().shape == (2,)
    batches.close()


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "batches"]


def test_no_thread_is_left():
    batches = Batches(InMemory(torch.arange(9.0)), 2, seeded(), ahead=2)
    assert not threads()
    batches.next()
    assert len(threads()) == 1
    batches.close()
    assert not threads()
    batches.close()
    batches.next()
    (thread,) = threads()
    del batches  # forgotten, not closed
    thread.join(timeout=20)
    assert not thread.is_alive()


def test_at_most_so_many_are_prepared():
    class Counting(InMemory):
        reads = 0

        def take(self, index):
            self.reads += 1
            return super().take(index)

    rows = Counting(torch.arange(9.0))
    batches = Batches(rows, 2, seeded(), ahead=3)
    for _ in range(5):
        batches.next()
    batches.close()
    assert 5 <= rows.reads <= 5 + 3 + 1  # one more may wait for a place


@pytest.mark.gpu
@pytest.mark.parametrize("values", [COLOUR, REAL])
def test_batches_on_a_device_are_the_same_bits(values):
    pixels = Pixels(values, fitted(values, -2, 255))
    own = seeded(5)
    for ahead in (0, 3):
        batches = Batches(pixels, 16, seeded(5), "cuda", ahead)
        own = seeded(5)
        for _ in range(50):
            got = batches.next()
            assert got.device.type == "cuda"
            want = pixels.batch(torch.randint(50, (16,), generator=own))
            assert torch.equal(got.cpu(), want)
        batches.close()
