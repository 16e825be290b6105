"""Labels of the training rows as numbers of a joint energy's classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ebm.errors import BadInput
from ebm.preprocessing.checks import clip_text
from ebm.training.config import TermConfig

UNKNOWN = -1  # of a row without a label, see `ebm.types.Objective`


def class_numbers(labels: Sequence[Any] | np.ndarray | None, term: TermConfig, n: int) -> Tensor | None:
    """(n,) int64: the place of each row's label among the classes of the term's energy, -1 for a row without one: None,
    or what the objective calls `unlabelled`. None where no stage of the term asks for labels.

    Labels are compared as text, so that 3 and "3" are the same.

    Raises:
        BadInput: there are no labels, or another number than rows; a label is no class; a class has no row.
    """
    asking: list[Any] = [s.objective for s in term.stages if getattr(s.objective, "labelled", False)]
    if not asking:
        return None
    about = f"term '{term.name}'"
    if labels is None:
        raise BadInput(f"{about}: objective kind '{asking[0].kind}' learns from labels; the data have none")
    if len(labels) != n:
        raise BadInput(f"{about}: {len(labels)} labels for {n} training rows")
    classes: tuple[str, ...] = getattr(term.energy, "classes", ())
    number = {name: k for k, name in enumerate(classes)}
    number |= {objective.unlabelled: UNKNOWN for objective in asking if objective.unlabelled is not None}
    found = torch.full((n,), UNKNOWN, dtype=torch.long)
    for row, label in enumerate(np.asarray(labels, dtype=object).tolist()):
        if label is None:
            continue
        if str(label) not in number:
            raise BadInput(
                f"{about}: label {clip_text(label)} is none of its classes: {', '.join(classes)}; name it there, "
                "or leave its rows out by 'data.normal'"
            )
        found[row] = number[str(label)]
    for k, name in enumerate(classes):
        if not bool((found == k).any()):
            raise BadInput(f"{about}: no training row is of class {clip_text(name)}")
    return found
