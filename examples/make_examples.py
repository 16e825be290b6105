"""Write the example files of this folder again, from scikit-learn's built-in data.

digit.png, noisy_digit.png   8x8 grayscale, pixel = value / 16 * 255; the second with Gaussian noise, sd 2.5
breast_cancer_rows.json      one benign and one malignant row, as the body of a score request
"""

import json
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_breast_cancer, load_digits

HERE = Path(__file__).parent


def save_png(name: str, values: np.ndarray) -> None:
    """values (8, 8) in [0, 16]."""
    pixels = np.rint(values.clip(0, 16) / 16 * 255).astype(np.uint8)
    Image.fromarray(pixels).save(HERE / name, optimize=True)


def main() -> None:
    digits = load_digits()
    digit = digits.images[np.flatnonzero(digits.target == 3)[0]]
    save_png("digit.png", digit)
    save_png("noisy_digit.png", digit + 2.5 * np.random.default_rng(0).standard_normal(digit.shape))

    cancer = load_breast_cancer()
    rows = [cancer.data[np.flatnonzero(cancer.target == label)[0]].tolist() for label in (1, 0)]
    body = {"instances": rows, "fpr": 0.05}
    (HERE / "breast_cancer_rows.json").write_text(json.dumps(body) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
