"""Write the example files of this folder again, from scikit-learn's built-in data; with the folder of Fashion-MNIST's
idx files as an argument, the two of clothes too.

digit.png, noisy_digit.png   8x8 grayscale, pixel = value / 16 * 255; the second with Gaussian noise, sd 2.5
mask.png                     8x8, white where pixels of digit.png are to be taken as missing: a 3x3 square
digits.npy                   four pictures, (4, 8, 8) float32 in 0..16
digits_compose.json          two pictures and two models, as the body of a composed score
breast_cancer_rows.json      one benign and one malignant row, as the body of a score request
breast_cancer_rows.csv       the same rows as a table with a header
breast_cancer_gap.json       the benign row with two cells missing, as the body of an impute request
breast_cancer_pair.json      the two rows, as the body of a compare request
breast_cancer_infer.json     the two rows, as a request of the Open Inference Protocol
boot.png, noisy_boot.png     32x32 clothes; the second with Gaussian noise, sd .25 of a range of 2
faulty_pullover.png          32x32 clothes, with 8x8 pixels of noise in the middle
"""

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_breast_cancer, load_digits

from ebm.data import ReadOptions, read

HERE = Path(__file__).parent


def save_png(name: str, values: np.ndarray) -> None:
    """values (8, 8) in [0, 16]."""
    pixels = np.rint(values.clip(0, 16) / 16 * 255).astype(np.uint8)
    Image.fromarray(pixels).save(HERE / name, optimize=True)


def save_json(name: str, body: dict) -> None:
    (HERE / name).write_text(json.dumps(body) + "\n", encoding="utf-8")


def clothes(folder: Path) -> None:
    """Test images of Fashion-MNIST, 32 x 32: a boot, also with noise, and a pullover with a fault of 8 x 8 pixels."""
    test = read(folder / "t10k-images-idx3-ubyte.gz", ReadOptions(size=(32, 32))).values
    rng = np.random.default_rng(4)
    noisy = test[0] + 127.5 * 0.25 * rng.standard_normal((32, 32))
    pullover = test[1].copy()
    pullover[14:22, 9:17] = rng.integers(0, 256, (8, 8))
    for name, pixels in (("boot.png", test[0]), ("noisy_boot.png", noisy), ("faulty_pullover.png", pullover)):
        Image.fromarray(np.rint(pixels.clip(0, 255)).astype(np.uint8)).save(HERE / name, optimize=True)


def main() -> None:
    if len(sys.argv) > 1:
        clothes(Path(sys.argv[1]))
    digits = load_digits()
    digit = digits.images[np.flatnonzero(digits.target == 3)[0]]
    save_png("digit.png", digit)
    save_png("noisy_digit.png", digit + 2.5 * np.random.default_rng(0).standard_normal(digit.shape))

    mask = np.zeros((8, 8))
    mask[3:6, 3:6] = 16
    save_png("mask.png", mask)
    np.save(HERE / "digits.npy", digits.images[:4].astype(np.float32))
    terms = [{"model": "digits", "weight": 1.0}, {"model": "digits-cd", "weight": 0.5}]
    save_json("digits_compose.json", {"terms": terms, "instances": digits.images[:2].astype(int).tolist()})

    cancer = load_breast_cancer()
    rows = [cancer.data[np.flatnonzero(cancer.target == label)[0]].tolist() for label in (1, 0)]
    save_json("breast_cancer_rows.json", {"instances": rows, "fpr": 0.05})
    table = [",".join(cancer.feature_names), *(",".join(map(str, row)) for row in rows)]
    (HERE / "breast_cancer_rows.csv").write_text("\n".join(table) + "\n", encoding="utf-8")
    gap = [None if j in (0, 7) else cell for j, cell in enumerate(rows[0])]
    save_json("breast_cancer_gap.json", {"instances": [gap], "n_draws": 16, "seed": 1})
    save_json("breast_cancer_pair.json", {"a": rows[:1], "b": rows[1:], "n_points": 9})
    tensor = {"name": "input", "datatype": "FP64", "shape": [2, len(rows[0])], "data": rows}
    save_json("breast_cancer_infer.json", {"id": "1", "inputs": [tensor]})


if __name__ == "__main__":
    main()
