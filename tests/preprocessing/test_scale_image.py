import numpy as np
import pytest

from ebm.config import validate
from ebm.errors import BadArtifact, BadConfig, BadInput
from ebm.preprocessing import ImageConfig, ScaleImage


def ramp(*shape):
    return np.arange(np.prod(shape), dtype=np.float64).reshape(shape)


def test_range_becomes_minus_one_to_one():
    fitted = ScaleImage(0, 16).fit(np.array([[[0, 8]], [[16, 4]]]))
    np.testing.assert_array_equal(
        fitted.transform(np.array([[[0, 8]], [[16, 4]]])), [[[[-1, 0]]], [[[1, -0.5]]]]
    )


def test_channels_come_first():
    x = ramp(2, 3, 4, 2)
    fitted = ScaleImage(0, 47).fit(x)
    assert fitted.shape == (2, 3, 4)
    assert fitted.input_shape == (3, 4, 2)
    z = fitted.transform(x)
    np.testing.assert_allclose(z[1, 1, 2, 3], x[1, 2, 3, 1] * 2 / 47 - 1, rtol=1e-6)


def test_the_three_layouts_agree():
    x = ramp(3, 4, 5)
    fitted = ScaleImage(0, 59).fit(x)
    z = fitted.transform(x)
    np.testing.assert_array_equal(fitted.transform(x[..., None]), z)
    np.testing.assert_array_equal(fitted.transform(x.reshape(3, 20)), z)
    colour = ramp(3, 4, 5, 3)
    fitted = ScaleImage(0, 179).fit(colour)
    np.testing.assert_array_equal(fitted.transform(colour.reshape(3, 60)), fitted.transform(colour))


def test_a_single_channel_image_of_one_channel_comes_back_flat():
    fitted = ScaleImage(0, 59).fit(ramp(3, 4, 5, 1))
    assert fitted.input_shape == (4, 5)
    assert fitted.inverse(np.zeros((2, 1, 4, 5))).shape == (2, 4, 5)


def test_inverse_clips_but_transform_does_not():
    fitted = ScaleImage(0, 16).fit(ramp(2, 2, 2))
    assert fitted.transform(np.full((1, 2, 2), 24.0)).max() == 2.0
    back = fitted.inverse(np.array([2.0, -2.0, 0.0, 1.0]).reshape(1, 1, 2, 2))
    np.testing.assert_array_equal(back, [[[16, 0], [8, 16]]])


def test_training_images_must_lie_in_the_range():
    with pytest.raises(BadInput, match=r"row 1, pixel \(0, 1\) is 17, outside \[0, 16\]") as caught:
        ScaleImage(0, 16).fit(np.array([[[0, 16]], [[3, 17]]]))
    assert (caught.value.row, caught.value.column) == (1, 1)


def test_a_bad_pixel_is_named_by_line_column_and_channel():
    x = ramp(2, 3, 4, 3)
    fitted = ScaleImage(0, 71).fit(x)
    x[1, 2, 0, 1] = np.nan
    with pytest.raises(BadInput, match=r"row 1, pixel \(2, 0\), channel 1 is missing"):
        fitted.transform(x)


def test_flat_training_rows_need_a_size():
    with pytest.raises(BadInput, match="height and width are needed"):
        ScaleImage(0, 16).fit(ramp(2, 4))
    with pytest.raises(BadInput, match=r"shape \(5,\)"):
        ScaleImage(0, 16, height=2, width=2).fit(ramp(2, 5))


def test_configured_size_must_match():
    with pytest.raises(BadInput, match="height 3, the configuration says 2"):
        ScaleImage(0, 16, height=2, width=4).fit(ramp(2, 3, 4))


def test_a_vector_is_no_image():
    with pytest.raises(BadInput, match="N, H, W"):
        ScaleImage(0, 16).fit(ramp(5))


def test_an_overflow_in_the_scaling_is_refused():
    fitted = ScaleImage(0, 1e-9).fit(np.array([[[0.0]], [[1e-9]]]))
    with pytest.raises(BadInput, match=r"row 0, pixel \(0, 0\) is too large"):
        fitted.transform([[[1e305]]])


def test_inverse_refuses_another_shape():
    with pytest.raises(BadInput, match=r"\(1, 2, 2\)"):
        ScaleImage(0, 16).fit(ramp(2, 2, 2)).inverse(np.zeros((1, 2, 2)))


def test_schema():
    assert ScaleImage(0, 16).fit(ramp(2, 2, 3)).schema() == {
        "kind": "image",
        "height": 2,
        "width": 3,
        "channels": 1,
        "low": 0.0,
        "high": 16.0,
    }


def test_the_stored_range_wins_over_the_configured_one():
    x = ramp(2, 2, 2)
    arrays = ScaleImage(0, 16).fit(x).arrays()
    again = ScaleImage(0, 255).load_arrays(arrays)
    assert again.transform(x)[1, 0, 1, 1] == pytest.approx(7 * 2 / 16 - 1)


@pytest.mark.parametrize("size, limits", [([2, 2, 0], [0, 1]), ([2, 2.5, 1], [0, 1]), ([2, 2, 1], [1, 1])])
def test_impossible_stored_arrays(size, limits):
    with pytest.raises(BadArtifact, match="preprocessing"):
        ScaleImage(0, 16).load_arrays({"size": np.array(size), "range": np.array(limits)})


def test_low_must_be_below_high():
    with pytest.raises(BadConfig, match="train.yaml.*low 5 must be below high 5"):
        validate(ImageConfig, {"kind": "image", "low": 5, "high": 5}, "train.yaml")
    with pytest.raises(ValueError, match="must be below"):
        ScaleImage(1, 0)
