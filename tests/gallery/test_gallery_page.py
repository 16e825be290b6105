"""The page, its pictures and the command that makes them."""

import re

import numpy as np
import pytest
from PIL import Image

from ebm.errors import BadInput, Diverged
from ebm.gallery import ELSEWHERE, ENTRIES, cell, make_gallery
from ebm.gallery.cell import Cell, Field, Size, axis, plane
from ebm.gallery.figure import draw
from ebm.gallery.page import Made, write_page


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from typer.testing import CliRunner

    from ebm.cli.app import app

    out = tmp_path_factory.mktemp("g") / "gallery"
    given = ["gallery", "-o", str(out), "--quick", "--only", "dsm_levels", "--only", "nce"]
    result = CliRunner().invoke(app, given, catch_exceptions=False)
    assert result.exit_code == 0 and result.output.strip() == str(out / "README.md")
    return out


def test_the_command_writes_a_page_and_its_pictures(folder):
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert "--quick --seed 0`" in text and "nothing is learnt" in text
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text)
    assert sorted(pictures) == ["dsm_levels.png", "nce.png"]
    for name in pictures:
        with Image.open(folder / name) as picture:
            assert picture.mode == "P" and picture.width > 500 and len(set(picture.tobytes())) > 10
    assert text.count("\n| moons |") == 2 and "checkerboard |" not in text


def test_an_earlier_page_is_replaced_and_no_other_file(folder, tmp_path):
    make_gallery(folder, only=["nce"], sets=["rings"], quick=True)
    assert "| rings |" in (folder / "README.md").read_text(encoding="utf-8")
    (tmp_path / "README.md").write_text("# Mine\n")
    with pytest.raises(BadInput, match=r"README\.md: is no page of the gallery"):
        make_gallery(tmp_path, only=["nce"], sets=["rings"], quick=True)
    assert (tmp_path / "README.md").read_text() == "# Mine\n"


@pytest.mark.parametrize(
    ("given", "said"), [({"only": ["gan"]}, "no objective 'gan'"), ({"sets": ["x"]}, "no set 'x'")]
)
def test_unknown_names(tmp_path, given, said):
    with pytest.raises(BadInput, match=said):
        make_gallery(tmp_path / "g", **given)
    assert not (tmp_path / "g").exists()


def test_the_page_lists_every_objective(tmp_path):
    field = Field(np.zeros((4, 4)), np.zeros((3, 3, 2)))
    done = Cell("moons", np.zeros((5, 2)), field, 1.25, field, None, (1.0,), FIGURES)
    text = write_page(tmp_path, [(entry, [done]) for entry in ENTRIES], Made("ebm gallery", 0, 60)).read_text(
        "utf-8"
    )
    for entry in ENTRIES:
        assert f"## {entry.title}\n" in text and f"]({entry.key}.png)" in text and entry.equation in text
        assert entry.about and entry.equation
    for kind in ELSEWHERE:
        assert f"- `{kind}`: " in text
    assert "| moons | 0.61 | 0.40 | 0.900 (0.950) | 3.0 (1.0) | 1.2 |" in text
    assert text.count("Weak on moons") == sum(entry.density for entry in ENTRIES)


FIGURES = {
    "cosine": 0.61, "fisher": 0.4, "auroc": 0.9, "auroc_truth": 0.95, "distance": 0.003, "distance_data": 0.001
}  # fmt: skip


def test_divergence_is_shown_not_hidden(tmp_path, monkeypatch):
    def diverge(*_args, **_kwargs):
        raise Diverged("the loss is not finite")

    monkeypatch.setattr(cell, "fit_detector", diverge)
    entry = ENTRIES[0]
    made = cell.make_cell(entry, "moons", 0, Size(steps=0.01, rows=50, fresh=50, grid=8, arrows=4))
    assert made.failed == "the loss is not finite" and made.learnt is None and not made.figures
    draw([made], tmp_path / "x.png")
    text = write_page(tmp_path, [(entry, [made])], Made("ebm gallery", 0, 60)).read_text("utf-8")
    assert "| moons | diverged |" in text and "Diverged on moons: the loss is not finite." in text


def test_pictures_have_their_first_index_upwards():
    assert plane(3)[1].tolist() == pytest.approx(
        [0, -axis(3)[2]]
    )  # the second place lies to the right of the first
