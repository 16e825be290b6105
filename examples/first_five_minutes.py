"""A data scientist's first five minutes: a frame with nulls and categories, scores, p-values, and why.

    pip install ebm-service pandas
    python first_five_minutes.py            writes first_five_minutes.png

The frame is scikit-learn's breast-cancer table, made untidy: one column in words, one of yes and no, some cells empty.
The model sees benign cases only, and is asked about benign and malignant cases that it has not seen.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score

from ebm import EnergyDetector
from ebm.explain import explanation_figure


def short(cell: object) -> str:
    """A cell in few digits."""
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)


def untidy_frame() -> tuple[pd.DataFrame, pd.Series]:
    """The frame (569 rows), and True where a case is malignant."""
    data = load_breast_cancer(as_frame=True)
    frame = data.data[[c for c in data.data.columns if c.startswith("mean ")]]
    frame.columns = [c.removeprefix("mean ") for c in frame.columns]
    frame["texture"] = pd.cut(
        frame["texture"], [0, 15, 18, 22, np.inf], labels=["fine", "even", "rough", "coarse"]
    )
    frame["dented"] = frame.pop("concave points") > 0.05
    empty = np.random.default_rng(0).random(frame.shape) < 0.05
    return frame.astype({"texture": object, "dented": "boolean"}).mask(empty), data.target == 0


def main(picture: Path) -> None:
    frame, malignant = untidy_frame()
    print(frame.head(4).to_string(), "\n")

    train = frame[~malignant].sample(250, random_state=0)
    rest = frame.drop(train.index)
    truth = malignant[rest.index]

    detector = EnergyDetector(fpr=0.05).fit(train)

    p_values = pd.Series(detector.p_values(rest), rest.index)
    alarm = pd.Series(detector.predict(rest) == -1, rest.index)
    print(f"AUROC                      {roc_auc_score(truth, -detector.score_samples(rest)):.3f}")
    print(f"alarms on malignant cases  {alarm[truth].mean():.1%}")
    print(f"alarms on benign cases     {alarm[~truth].mean():.1%}   (asked for: 5%)\n")

    strange = rest.loc[[p_values.idxmin()]]
    why = detector.explain(strange)
    print(f"case {strange.index[0]}: p = {why.p_value[0]:.3f}; most of its energy comes from")
    for column in why.ranking[0, :3]:
        value, normal = map(short, why.cell(0, column))
        share = why.contributions[0, column]
        print(f"  {why.name(column):18} {share:6.2f}   {value} (normal here: {normal})")
    explanation_figure(why).savefig(picture)
    print(f"\n{picture} shows all of them")

    gaps = rest[rest["texture"].isna()][:1]
    filled = detector.impute(gaps, seed=0).rows
    print(f"case {gaps.index[0]}: its texture is not known; likely {filled['texture'][0]}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("first_five_minutes.png"))
