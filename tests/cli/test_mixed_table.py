"""`ebm` on a table with columns of many types and nulls: train, score, denoise, generate, evaluate, show."""

import csv
import random
from pathlib import Path

import pyarrow.parquet as pq
import pytest

CONFIG = """
name: people
data: {kind: file, path: people.csv, label_column: kind, ignore: [remark], normal: [good]}
split: {train: 0.5, calibration: 0.25}
preprocessing: {kind: mixed}
terms:
  - name: kernel
    energy: {kind: kernel, bandwidth: 1.0}
  - name: network
    energy: {kind: residual, width: 16, depth: 1}
    objective: {kind: dsm, sigma_min: 0.1, sigma_max: 4.0}
    training: {n_steps: 20, log_every: 5, checkpoint_every: 5}
    sigmas: [0.3]
sampling:
  term: network
  sampler:
    {kind: annealed_langevin, sigma_min: 0.1, sigma_max: 4.0, n_levels: 3, step_size: 0.2, n_steps_per_level: 2}
"""
COLUMNS = ["age", "code", "member", "city", "since", "empty"]


def people(count: int, odd: bool, rng: random.Random) -> list[dict[str, object]]:
    """`code` is text that looks like numbers; the odd are old, from elsewhere, and members by night."""
    return [
        {
            "kind": "odd" if odd else "good",
            "age": "" if not odd and rng.random() < 0.1 else round(rng.gauss(90 if odd else 40, 5), 1),
            "code": rng.choice(["A1", "07", "08"]),
            "member": odd or rng.random() < 0.5,
            "remark": "x, y",
            "city": "Atlantis" if odd else rng.choice(["Bonn", "Rome", "NA"]),
            "since": f"2024-0{rng.randint(1, 3)}-{rng.randint(10, 28)} {3 if odd else rng.randint(9, 17):02}:30:00",
            "empty": "",
        }
        for _ in range(count)
    ]


def write(path: Path, rows: list[dict[str, object]], names: list[str] | None = None) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, names or list(rows[0]), extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory, command) -> Path:
    folder = tmp_path_factory.mktemp("people")
    rng = random.Random(0)
    write(folder / "people.csv", people(160, False, rng) + people(20, True, rng))
    (folder / "people.yaml").write_text(CONFIG)
    models = ["--models", folder / "models", "--run-dir", folder / "run"]
    command("train", folder / "people.yaml", *models, "--json", ok=True)
    return folder


@pytest.fixture
def run(folder, command, monkeypatch):
    monkeypatch.setenv("EBM_MODELS", str(folder / "models"))
    return command


def test_the_schema_of_the_columns_is_in_the_manifest(folder, run):
    manifest = run("models", "show", "people", "--json", ok=True).json
    columns = {column["name"]: column for column in manifest["input"]["columns"]}
    assert list(columns) == COLUMNS
    types = ["numeric", "categorical", "boolean", "categorical", "datetime", "null"]
    assert [column["type"] for column in columns.values()] == types
    assert columns["age"]["nullable"] and columns["city"]["nullable"] and not columns["code"]["nullable"]
    assert set(columns["code"]["levels"]) == {"A1", "07", "08"}
    assert "6 columns" in run("models", "show", "people", ok=True).out
    assert (folder / "run" / "samples.png").stat().st_size > 0


def test_scores_follow_the_names_and_not_the_order(tmp_path, run):
    rng = random.Random(1)
    rows = people(15, False, rng) + people(5, True, rng)
    names = ["remark", *reversed(COLUMNS)]
    one, other = (write(tmp_path / f"{k}.csv", rows, n) for k, n in enumerate((COLUMNS, names)))
    scores = run("score", "people", one, "--json", ok=True).json
    assert run("score", "people", other, "--json", ok=True).json == scores
    assert max(scores["energy"][:15]) < min(scores["energy"][15:])
    run("score", "people", other, "-o", tmp_path / "out.csv", ok=True)
    written = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    assert list(written[0])[:7] == names
    assert [row["city"] for row in written] == [row["city"] for row in rows]  # as they were written
    import pyarrow.csv as pacsv

    pq.write_table(pacsv.read_csv(other, convert_options=typed()), tmp_path / "rows.parquet")
    again = run("score", "people", tmp_path / "rows.parquet", "--json", ok=True).json
    assert again["energy"] == scores["energy"]


def typed():
    import pyarrow as pa
    import pyarrow.csv as pacsv

    return pacsv.ConvertOptions(column_types={"code": pa.string()}, strings_can_be_null=True)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"age": "old"}, "row 1, column 'age' is 'old', not a number"),
        ({"member": "maybe"}, "row 1, column 'member' is 'maybe', not true or false"),
        ({"member": ""}, "row 1, column 'member' is missing"),
        ({"since": "soon"}, "row 1, column 'since' is 'soon', not an ISO 8601 date and time"),
    ],
)
def test_a_bad_cell_is_named(tmp_path, run, changes, message):
    rows = people(3, False, random.Random(2))
    rows[1].update(changes)
    assert message in run("score", "people", write(tmp_path / "rows.csv", rows)).error()


def test_a_missing_column_is_named(tmp_path, run):
    rows = people(3, False, random.Random(2))
    path = write(tmp_path / "rows.csv", rows, ["age", "code", "member", "since", "empty"])
    assert run("score", "people", path).error() == "rows.csv: column 'city' is missing"


def test_denoised_rows_are_rows(tmp_path, run):
    rows = people(5, False, random.Random(3))
    path = write(tmp_path / "rows.csv", rows)
    for name in ("out.csv", "out.parquet"):
        run("denoise", "people", path, "-o", tmp_path / name, ok=True)
        assert len(run("score", "people", tmp_path / name, "--json", ok=True).json["energy"]) == 5
    written = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    assert list(written[0]) == list(rows[0])
    assert {row["city"] for row in written} <= {"Bonn", "Rome", ""}
    message = run("denoise", "people", path, "-o", tmp_path / "out.npy").error()
    assert message.endswith("use .csv or .parquet")


def test_generated_rows_are_rows(tmp_path, run):
    run("generate", "people", "-n", 7, "-o", tmp_path / "new.csv", "--keep-every", 3, ok=True)
    assert len(run("score", "people", tmp_path / "new.csv", "--json", ok=True).json["energy"]) == 7
    snapshots = pq.read_table(tmp_path / "new.snapshots.parquet")
    assert snapshots["snapshot"].to_pylist() == [0] * 7 + [1] * 7
    assert snapshots.column_names == [*COLUMNS, "snapshot"]


def test_evaluation_of_its_own_rows_and_of_others(folder, tmp_path, run):
    own = run("evaluate", "people", "--base-dir", folder, "--json", ok=True).json
    assert own["metrics"]["auroc"] > 0.95 and set(own["baselines"]) >= {"knn5"}
    rng = random.Random(4)
    path = write(tmp_path / "new.csv", people(20, False, rng) + people(9, True, rng))
    options = ["--label-column", "kind", "--normal", "good", "--base-dir", folder]
    assert run("evaluate", "people", path, *options, "--json", ok=True).json["metrics"]["auroc"] > 0.95
