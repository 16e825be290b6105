"""Settings: four sources in one order, every mistake one line, and a page of documentation that is current."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ebm.errors import BadConfig
from service.settings import Settings, as_markdown, as_text, read_settings, unknown_variables
from service.settings.settings import GROUPS

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("EBM_"):
            monkeypatch.delenv(name)


def test_option_before_variable_before_file_before_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("max_rows: 3\nmax_samples: 3\nmax_steps: 3\n")
    monkeypatch.setenv("EBM_MAX_ROWS", "2")
    monkeypatch.setenv("EBM_MAX_SAMPLES", "2")
    found = read_settings(file, max_rows=1)
    assert (found.max_rows, found.max_samples, found.max_steps, found.max_pixels) == (1, 2, 3, 16_000_000)
    assert "EBM_CONFIG" not in os.environ


def test_the_file_may_be_named_by_a_variable_and_be_toml(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('models_dir = "s3://bucket/models"\ncors_origins = ["https://a.example"]\n')
    monkeypatch.setenv("EBM_CONFIG", str(file))
    assert Settings().models_dir == "s3://bucket/models"
    assert read_settings().cors_origins == ("https://a.example",)


def test_an_empty_file_and_an_empty_variable_say_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "none.yaml").write_text("# nothing yet\n")
    monkeypatch.setenv("EBM_MAX_ROWS", "")
    assert read_settings(tmp_path / "none.yaml") == Settings()


def test_a_place_is_a_path_or_a_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EBM_MODELS_DIR", "some/models")
    assert read_settings().models_dir == Path("some/models")
    monkeypatch.setenv("EBM_MODELS_DIR", "memory://some/models")
    assert read_settings().models_dir == "memory://some/models"


def test_lists_are_words_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EBM_CORS_ORIGINS", "https://a.example, https://b.example")
    assert read_settings().cors_origins == ("https://a.example", "https://b.example")


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("EBM_MAX_ROWS", "many", "EBM_MAX_ROWS: Input should be a valid integer"),
        ("EBM_MAX_ROWS", "0", "EBM_MAX_ROWS: Input should be greater than or equal to 1"),
        ("EBM_LOG_LEVEL", "loud", "EBM_LOG_LEVEL: Input should be 'debug'"),
        ("EBM_ANONYMOUS_RATE", "often", "EBM_ANONYMOUS_RATE: 'often' is no rate"),
        ("EBM_API_KEYS", "[{", "EBM_API_KEYS: not JSON"),
        (
            "EBM_API_KEYS",
            '[{"name": "a", "sha256": "secret", "scopes": ["score"]}]',
            "EBM_API_KEYS: 0.sha256: ",
        ),
    ],
)
def test_a_bad_variable_is_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(BadConfig) as caught:
        read_settings()
    assert str(caught.value).startswith(said) and "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("s.yaml", "max_row: 3", "'max_row' is no setting"),
        ("s.toml", "max_row = 3", "'max_row' is no setting"),
        ("s.yaml", "max_rows: many", "max_rows: Input should be a valid integer"),
        ("s.yaml", "api_keys: [{name: a}]", "api_keys: 0.sha256: Field required"),
        ("s.yaml", "max_rows: [", "while parsing"),
        ("s.toml", "max_rows = ", "Invalid value"),
        ("s.yaml", "- max_rows", "holds no settings by name"),
        ("s.yaml", "!!python/object/apply:os.system [date]", "could not determine a constructor"),
        ("s.yaml", None, "cannot be read"),
    ],
)
def test_a_bad_file_is_named_with_the_key(tmp_path: Path, name: str, text: str | None, said: str) -> None:
    file = tmp_path / name
    if text is not None:
        file.write_text(text)
    with pytest.raises(BadConfig) as caught:
        read_settings(file)
    message = str(caught.value)
    assert message.startswith(f"{file}: ") and said in message and "\n" not in message


def test_a_bad_option_is_named() -> None:
    with pytest.raises(BadConfig, match="^port: Input should be less"):
        read_settings(port=99_999)


def test_a_misspelt_variable_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EBM_API_KEY_FILE", "keys.yaml")
    monkeypatch.setenv("EBM_MAX_ROWS", "5")
    assert unknown_variables() == ["EBM_API_KEY_FILE"]


def test_every_setting_is_in_a_group_and_described() -> None:
    grouped: dict[str, Any] = {name: field for group in GROUPS for name, field in group.model_fields.items()}
    assert grouped.keys() == Settings.model_fields.keys()
    assert [name for name, field in grouped.items() if not field.description] == []


def test_the_page_is_current_and_the_help_complete() -> None:
    page = as_markdown()
    assert PAGE.read_text(encoding="utf-8") == page, "ebm serve --settings-markdown > docs/settings.md"
    for name in Settings.model_fields:
        assert f"| `EBM_{name.upper()}` |" in page and f"EBM_{name.upper()} [" in as_text()


def test_the_examples_of_the_page_are_valid(tmp_path: Path) -> None:
    settings, keys = (block.split("```")[0] for block in as_markdown().split("```yaml\n")[1:])
    (tmp_path / "settings.yaml").write_text(settings)
    (tmp_path / "keys.yaml").write_text(keys)
    found = read_settings(tmp_path / "settings.yaml", api_keys_file=tmp_path / "keys.yaml")
    assert found.workers == 2

    from service.auth import Auth

    assert Auth.of(found).active
