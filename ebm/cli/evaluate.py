"""`ebm evaluate`: the model beside 1-NN, kNN5 and an isolation forest on labelled rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ebm.cli.common import (
    DEFAULT_MODELS,
    AsJson,
    Device,
    Model,
    ModelsDir,
    open_detector,
    print_json,
    progress,
    say,
)
from ebm.errors import BadInput, EBMError

if TYPE_CHECKING:
    from ebm.detector import Detector
    from ebm.evaluation.detector import Measured
    from ebm.runs import Prepared


def evaluate(
    model: Model,
    data: Annotated[
        Path | None,
        typer.Argument(metavar="[DATA]", help="Labelled rows; default: the test split of the training data."),
    ] = None,
    label_column: Annotated[
        str | None,
        typer.Option(help="CSV, Parquet: the column with the labels; not needed for npz and folders."),
    ] = None,
    normal: Annotated[
        list[str] | None, typer.Option(help="A label that is normal (repeatable); default: as in training.")
    ] = None,
    base_dir: Annotated[
        Path, typer.Option(help="Where relative paths of the training configuration start.")
    ] = Path("."),
    models: ModelsDir = DEFAULT_MODELS,
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """Measure AUROC, AUPRC, FPR at 95% TPR and precision at n, beside baselines fitted on the training rows.

    Example: ebm evaluate breast-cancer
    """
    if data is None and (label_column or normal):
        raise BadInput("--label-column and --normal describe DATA, which is not given")
    detector = open_detector(model, models, device, as_json=as_json)
    with progress(as_json) as bar:
        bar.add_task("measuring", total=None)
        if data is None:
            measured, source, note = _own_test(detector, base_dir)
        else:
            measured, source, note = _labelled(detector, data, label_column, normal, base_dir)
    if as_json:
        about = {"model": detector.name, "version": detector.version, "data": source, "note": note}
        print_json({**about, "metrics": measured["model"], "baselines": _without_model(measured)})
        return
    if note:
        say(f"note: {note}")
    from ebm.cli.figures import print_figures

    print_figures(measured, f"{detector.name}/{detector.version} on {source}")


def _own_test(detector: Detector, base_dir: Path) -> tuple[Measured, str, str | None]:
    from ebm.runs import measure

    rows = _training_rows(detector, base_dir)
    measured = measure(detector, rows, detector.manifest.data.seed)
    if not measured:
        raise BadInput(
            f"model {detector.name}: its training data hold no test rows and anomalies; give labelled DATA"
        )
    return measured, f"{rows.table.source}, test split", None


def _training_rows(detector: Detector, base_dir: Path) -> Prepared:
    """The rows the model was trained on, by its stored configuration.

    Raises:
        EBMError: they cannot be read, or are not the same any more.
    """
    from ebm.config import validate
    from ebm.runs import prepare
    from ebm.training.config import TrainConfig

    config = validate(TrainConfig, detector.manifest.training, f"training of {detector.name}")
    rows = prepare(config, base_dir)
    if rows.table.fingerprint() != detector.manifest.data.fingerprint:
        raise BadInput(f"{rows.table.source}: differs from the data that {detector.name} was trained on")
    return rows


def _labelled(
    detector: Detector, data: Path, label_column: str | None, normal: list[str] | None, base_dir: Path
) -> tuple[Measured, str, str | None]:
    from ebm.data import ReadOptions, normal_mask, read, take_rows
    from ebm.evaluation.detector import evaluate as measure_beside

    tabular = data.name.lower().endswith((".csv", ".csv.gz", ".parquet", ".pq"))
    if tabular and label_column is None:
        raise BadInput(f"{data}: say which column holds the labels, with --label-column")
    columns = tuple(detector.columns) if tabular and detector.columns else None
    schema = detector.manifest.input
    types = (
        {column["name"]: column["type"] for column in schema["columns"]} if schema.get("frame") else "numbers"
    )
    table = read(data, ReadOptions(columns=columns, label_column=label_column), types)
    if table.labels is None:
        raise BadInput(f"{data}: holds no labels")
    labels = normal or (detector.manifest.training.get("data") or {}).get("normal")
    if not labels:
        raise BadInput(f"{data}: say which labels are normal, with --normal LABEL")
    mask = normal_mask(table, tuple(labels))
    if mask.all():
        raise BadInput(f"{data}: every row is normal; nothing to tell apart")
    rows, odd = take_rows(table.values, mask), take_rows(table.values, ~mask)
    try:
        train, note = _training_rows(detector, base_dir).train, None
    except EBMError as error:
        return _alone(detector, rows, odd), table.source, f"no baselines: {error}"
    return measure_beside(detector, rows, odd, train, detector.manifest.data.seed), table.source, note


def _alone(detector: Detector, normal: object, anomalies: object) -> Measured:
    import numpy as np

    from ebm.evaluation.metrics import report

    a, b = detector.score(normal), detector.score(anomalies)
    y = np.r_[np.zeros(len(a.energy), int), np.ones(len(b.energy), int)]
    figures = report(np.r_[a.anomaly_score, b.anomaly_score], y)
    rates = {"actual_fpr": a.is_anomaly.mean(), "detected_at_default_fpr": b.is_anomaly.mean()}
    return {"model": figures | {name: float(rate) for name, rate in rates.items()}}


def _without_model(measured: Measured) -> Measured:
    return {name: figures for name, figures in measured.items() if name != "model"}
