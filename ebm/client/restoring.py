"""Operations that give rows back, cleaner or whole: denoise and impute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from ebm.client.answers import Answer
from ebm.client.calls import PNG, Call, Steps, document_of, given, model_path, post
from ebm.client.forms import form_of
from ebm.client.parts import in_parts
from ebm.client.rows import Picture, Rows, encode_form, json_rows


def denoise(
    model: str,
    rows: Any,
    *,
    sigma: float | None = None,
    n_steps: int | None = None,
    method: Literal["posterior_mean", "langevin"] | None = None,
    seed: int | None = None,
    noise: Literal["gaussian", "impulse"] | None = None,
    version: str | None = None,
    resize: bool | None = None,
) -> Steps[Any]:
    """The likely clean version of each row, in the form that the rows have: an array for an array, a frame for a frame,
    a PIL image for one, PNG bytes for bytes or a path, and a list for a list.

    More rows than the server takes at once are sent in parts (of which each begins `seed` anew).

    Args:
        rows: as `score` takes them.
        sigma: sd of the noise in preprocessed units (pictures: of a range of [-1, 1]; tables: of z-scores); estimated
            where not given.
        method: "posterior_mean" (the default), the one best guess; "langevin", a random draw of what is likely.
        n_steps: of the posterior mean 1, more for a sharper answer; of langevin its noise levels.
        noise: "impulse" for single lost pixels of pictures, such as salt and pepper, which are painted in.

    Raises:
        BadRequest: rows that do not fit, or a model that cannot denoise.
    """
    how = {"sigma": sigma, "n_steps": n_steps, "method": method, "seed": seed, "noise": noise}
    params = given({**how, "resize": resize})
    return (yield from _restored(model, "denoise", rows, params, version, "denoised"))


def impute(
    model: str,
    rows: Any,
    *,
    mask: Picture | None = None,
    n_draws: int | None = None,
    seed: int | None = None,
    version: str | None = None,
    resize: bool | None = None,
) -> Steps[Any]:
    """The rows with their gaps filled, in the form that they have, as `denoise`; cells that were there stay.

    Args:
        rows: as `score` takes them, with None, null or NaN where a cell is missing; or a picture, and `mask`.
        mask: a picture of the same size, not black where the pixel is missing.
        n_draws: draws to average; 1 fills in one random draw.

    Raises:
        BadRequest: rows that do not fit, or a model that cannot fill.
        TypeError: a mask without a picture.
    """
    params = given({"n_draws": n_draws, "seed": seed, "resize": resize})
    if mask is None:
        return (yield from _restored(model, "impute", rows, params, version, "filled"))
    if not isinstance(rows, Picture):
        raise TypeError(f"a mask goes with a picture, not with {type(rows).__name__}")
    content, media_type = encode_form([("image", rows), ("mask", mask)])
    headers = {"Content-Type": media_type, "Accept": PNG}
    response = yield Call("POST", model_path(model, version, "impute"), params, headers, content)
    return form_of(rows, "filled").read(response).value


class Imputed(Answer):
    """Filled rows, and how sure they are.

    filled: n rows of cells. spread: for each filled cell the sd of its draws, of a category 1 - the share of the most
    frequent; None for cells that were there. draws: n_draws times n rows.
    """

    model: str
    version: str
    columns: list[str] | None
    n_missing: int
    filled: list[Any]
    spread: list[Any]
    draws: list[Any] | None
    acceptance: float | None


def impute_draws(
    model: str,
    rows: Any,
    *,
    n_draws: int | None = None,
    seed: int | None = None,
    keep_draws: bool = True,
    version: str | None = None,
) -> Steps[Imputed]:
    """`impute` in one request, with the spread of each filled cell and the draws themselves.

    Args:
        rows: lists, records, an array or a frame; None, null or NaN where a cell is missing.
    """
    asked = {**json_rows(rows), **given({"n_draws": n_draws, "seed": seed, "keep_draws": keep_draws})}
    return Imputed.model_validate(document_of((yield post(model_path(model, version, "impute"), asked))))


def _restored(
    model: str, operation: str, rows: Any, params: Mapping[str, Any], version: str | None, field: str
) -> Steps[Any]:
    if isinstance(rows, list) and rows and isinstance(rows[0], Picture):
        one_by_one = []
        for picture in rows:
            one_by_one.append((yield from _restored(model, operation, picture, params, version, field)))
        return one_by_one
    form = form_of(rows, field)
    parts = yield from in_parts(
        model,
        operation,
        Rows.of(rows),
        form.read,
        version=version,
        limit=f"max_{operation}_rows",
        params=params,
        accept=form.accept,
    )
    return form.join([part.value for part in parts])
