"""Known answers of what the image benchmark measures by."""

from __future__ import annotations

import numpy as np
import pytest
from _images_cd import control, curve, with_controls
from _images_filters import biharmonic, blocks, psnr, salt_and_pepper, tuned
from _images_generate import frechet
from _images_model import made_with, to_user
from _images_ood import aurocs
from _images_pixels import pixel_auroc
from scipy.linalg import sqrtm

from ebm.training.config import TrainConfig


def config(k_steps: int = 3, **more: object) -> TrainConfig:
    objective = {"kind": "cd", "k_steps": k_steps, "negatives": {"kinds": {"gray": 1}}}
    term = {"name": "critic", "energy": {"kind": "conv"}, "objective": objective}
    base = {"name": "m", "data": {"kind": "builtin", "name": "digits"}, "preprocessing": {"kind": "image"}}
    return TrainConfig.model_validate(base | {"terms": [term]} | more)


def exact(mean: np.ndarray, root: np.ndarray) -> np.ndarray:
    """Rows whose mean and covariance are exactly these: +-root, scaled for the n - 1 of the covariance."""
    d = len(mean)
    unit = np.concatenate([np.eye(d), -np.eye(d)]) * np.sqrt((2 * d - 1) / 2)
    return mean + unit @ root


def test_frechet_distance_of_two_gaussians() -> None:
    # Along common axes: |m|^2 + sum (s_a - s_b)^2.
    a = exact(np.array([1.0, 0, 0, 2]), np.diag([1.0, 2, 3, 0]))
    b = exact(np.zeros(4), np.diag([4.0, 2, 1, 0]))
    assert np.allclose(np.cov(a.T), np.diag([1, 4, 9, 0]))
    assert frechet(a, b) == pytest.approx(5 + 9 + 0 + 4)
    assert frechet(a, a) == pytest.approx(0, abs=1e-9)


def test_frechet_distance_agrees_with_the_matrix_root() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(50, 5)) @ rng.normal(size=(5, 5)), rng.normal(size=(60, 5)) + 1
    cov_a, cov_b = np.cov(a.T), np.cov(b.T)
    root = np.asarray(sqrtm(cov_a @ cov_b)).real
    expected = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(cov_a + cov_b - 2 * root)
    assert frechet(a, b) == pytest.approx(expected) == pytest.approx(frechet(b, a))


def test_psnr() -> None:
    clean = np.zeros((2, 4, 4), np.float32)
    assert psnr(clean + 0.2, clean) == pytest.approx(20)  # 10 log10(4 / .04)
    assert psnr(clean + 5, clean) == pytest.approx(10 * np.log10(4))  # clipped to the range
    where = np.zeros(clean.shape, bool)
    where[0, 0, 0] = True
    damaged = clean + 0.2
    damaged[0, 0, 0] = 0.02
    assert psnr(damaged, clean, where) == pytest.approx(40)
    with pytest.raises(ValueError, match="beside"):
        psnr(clean[:, None], clean)


def test_aurocs_and_pixels() -> None:
    normal = np.array([0.0, 1, 2])
    assert aurocs(normal, {"far": np.array([3.0, 4]), "alike": normal}) == {"far": 1.0, "alike": 0.5}
    changed = np.zeros((3, 4, 4), bool)
    changed[:2, 1:3, 1:3] = True
    maps = changed.astype(float)
    maps[1] += 10  # each image by itself is perfect; together they are not
    found = pixel_auroc(maps, changed)
    # Pooled: 4 high pixels of image 1 beat all 40 others, the 4 of image 0 (at 1) all but the 12 at 10.
    assert found["image"] == 1.0 and found["pooled"] == pytest.approx((4 * 40 + 4 * 28) / (8 * 40))


def test_damage() -> None:
    rng = np.random.default_rng(0)
    x = np.zeros((20, 32, 32), np.float32)
    struck = salt_and_pepper(x, 0.1, rng)
    assert set(np.unique(struck)) == {-1.0, 0.0, 1.0} and abs((struck != 0).mean() - 0.1) < 0.01
    assert abs((struck == 1).sum() / (struck != 0).sum() - 0.5) < 0.05
    missing = blocks(x.shape, 8, 6, rng)
    assert (missing.sum((1, 2)) == 64).all() and not missing[:, :6].any() and not missing[:, :, -6:].any()
    assert len({m.tobytes() for m in missing}) > 10


def test_filters_restore_what_is_smooth() -> None:
    pytest.importorskip("skimage", reason="the extra 'bench' is not installed")
    ramp = np.broadcast_to(np.linspace(-1, 1, 16, dtype=np.float32), (2, 16, 16)).copy()
    missing = blocks(ramp.shape, 4, 4, np.random.default_rng(0))
    holed = np.where(missing, np.nan, ramp)
    assert psnr(biharmonic(holed, missing), ramp, missing) > 40
    stripes = np.broadcast_to(np.tile(np.float32([0.5, 0.5, -0.5, -0.5]), 4), (2, 16, 16)).copy()
    struck = salt_and_pepper(stripes, 0.03, np.random.default_rng(0))
    call, options = tuned("median", stripes, struck)  # of 3 keeps stripes of 2, of 5 does not
    assert options == {"size": 3} and psnr(call(struck), stripes) > psnr(struck, stripes)
    noisy = (ramp + 0.2 * np.random.default_rng(0).normal(size=ramp.shape)).astype(np.float32)
    call, options = tuned("TV", ramp, noisy, 0.2)
    assert psnr(call(noisy), ramp) > psnr(noisy, ramp) + 3


def test_the_control_has_no_chains_and_is_the_same_else() -> None:
    plain = control(config(3))
    assert plain is not None
    assert made_with(plain) == made_with(config(0)) and made_with(plain) != made_with(config(3))
    assert control(config(0)) is None
    assert list(with_controls({"a": config(3)})) == ["a", "a, K = 0"]
    assert list(with_controls({"a": config(3), "b": config(0)})) == ["a", "b"]


def test_names_and_data_decide_no_figure() -> None:
    assert made_with(config(name="other", description="x")) == made_with(config())
    assert made_with(config(default_fpr=0.01)) != made_with(config())


def test_user_units() -> None:
    assert to_user(config(), np.array([-1.0, 0, 1, 1.5])).tolist() == [0, 127.5, 255, 318.75]


def test_the_curve_is_of_the_last_stage() -> None:
    log = [{"term": "e", "step": s, "loss": 1.0, "real": float(s), "fake": 0.0} for s in range(1, 241)]
    log += [{"term": "f", "step": 500, "loss": 1.0, "real": 9.0, "fake": 0.0}]
    found = curve(log, {"e": 120})
    assert len(found) == 60 and found[-1]["step"] == 120
    assert found[0] == {"step": 2, "loss": 1.0, "real": 121.5, "fake": 0.0}
