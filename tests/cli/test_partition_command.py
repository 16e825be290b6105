from __future__ import annotations

import numpy as np
import pytest

from ebm import artifact
from ebm.evaluation.partition import log_partition


@pytest.fixture
def own_rows(tmp_path):
    path = tmp_path / "own.csv"
    values = np.random.default_rng(1).normal(0, 1, (20, 3)).round(3)
    path.write_text('a,"b, c",d\n' + "\n".join(",".join(map(str, row)) for row in values) + "\n")
    return path


def test_a_kernel_in_closed_form_with_the_likelihood_of_rows(ebm, own_rows, published):
    answer = ebm("partition", "plain", own_rows, "--json", ok=True).json
    expected = log_partition(artifact.load(published / "plain" / "1"))
    assert answer["log_z"] == pytest.approx(expected.log_z) and answer["method"] == "closed_form"
    assert answer["gap"] is None and answer["likelihood"]["n_rows"] == 20
    bits = -answer["likelihood"]["mean_log_p"] / (3 * np.log(2))
    assert answer["likelihood"]["bits_per_dim"] == pytest.approx(bits)
    out = ebm("partition", "plain", own_rows, ok=True).out
    assert "closed form" in out and "bits per dimension" in out and "density in user units" in out


def test_annealing_where_it_is_asked_for(ebm):
    few = ("--chains", "20", "--temperatures", "20", "--method", "ais", "--seed", "1")
    result = ebm("partition", "plain", *few, ok=True)
    assert "annealed importance sampling" in result.out and "(forward)" in result.out
    assert "effective chains" in result.out and "note: the upper side" in result.err
    found = float(result.out.split("log Z = ")[1].split()[0])
    exact = ebm("partition", "plain", "--json", ok=True).json["log_z"]
    assert found == pytest.approx(exact, abs=1.0)


def test_bad_use(ebm, rows):
    assert "no exact log Z" in ebm("partition", "table", "--method", "exact").error()
    assert "no term 'x'" in ebm("partition", "plain", "--term", "x").error()
    assert "no such file" in ebm("partition", "plain", rows.with_name("none.csv")).error().lower()
