"""API keys, scopes and rates: who gets in, and what the others are told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from limits.errors import StorageError
from starlette.requests import Request

from ebm.errors import BadConfig
from service import telemetry
from service.api_keys import ApiKey, digest, read_keys
from service.auth import Auth, address_of
from service.errors import Problem
from service.settings import Settings

ROW = {"instances": [[41, 3100, 1.75]]}
SCORE = "/v1/models/people/score"
SECRETS = {name: f"{name}-{'x' * 40}" for name in ("scorer", "maker", "boss", "hasty")}


def entry(name: str, *scopes: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "sha256": digest(SECRETS[name]), "scopes": list(scopes), **more}


KEYS = [
    entry("scorer", "score"),
    entry("maker", "generate"),
    entry("boss", "admin"),
    entry("hasty", "score", rate="2/minute"),
]


def sent(**headers: str) -> Request:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "headers": pairs, "client": ("10.0.0.1", 5)})


@pytest.fixture
def auth() -> Auth:
    return Auth([ApiKey.model_validate(one) for one in KEYS])


@pytest.mark.parametrize(
    "headers", [{}, {"x_api_key": "wrong" * 9}, {"x_api_key": ""}, {"authorization": "Basic eA=="}]
)
def test_no_key_or_an_unknown_one_is_401(auth: Auth, headers: dict[str, str]) -> None:
    with pytest.raises(Problem) as caught:
        auth.check(sent(**headers), "score")
    assert caught.value.status == 401 and caught.value.headers["WWW-Authenticate"].startswith("Bearer")
    assert "wrong" not in caught.value.detail


@pytest.mark.parametrize(
    ("name", "scope", "passes"),
    [
        ("scorer", "score", True),
        ("scorer", "generate", False),
        ("scorer", "admin", False),
        ("maker", "generate", True),
        ("maker", "score", False),
        ("boss", "score", True),
        ("boss", "generate", True),
        ("boss", "admin", True),
    ],
)
def test_a_key_may_what_its_scopes_say_and_admin_may_all(
    auth: Auth, name: str, scope: Any, passes: bool
) -> None:
    request = sent(x_api_key=SECRETS[name])
    if passes:
        auth.check(request, scope)
        assert request.scope["api_key"] == name
    else:
        with pytest.raises(Problem, match=f"lacks the scope '{scope}'") as caught:
            auth.check(request, scope)
        assert caught.value.status == 403


def test_a_bearer_token_does_as_well(auth: Auth) -> None:
    auth.check(sent(authorization=f"bearer {SECRETS['scorer']}"), "score")


def test_over_the_rate_is_429_until_the_window_moves_on(auth: Auth, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        auth.check(sent(x_api_key=SECRETS["hasty"]), "score")
    with pytest.raises(Problem) as caught:
        auth.check(sent(x_api_key=SECRETS["hasty"]), "score")
    problem = caught.value
    assert (problem.status, problem.slug) == (429, "rate-limited")
    wait = int(problem.headers["Retry-After"])
    assert 55 <= wait <= 60, "a slot is free when the oldest request leaves the window"
    import time

    now = time.time()
    monkeypatch.setattr("time.time", lambda: now + wait + 1)
    auth.check(sent(x_api_key=SECRETS["hasty"]), "score")
    auth.check(sent(x_api_key=SECRETS["scorer"]), "score")  # a key's rate is its own


def test_without_keys_each_address_has_the_anonymous_rate() -> None:
    auth = Auth(anonymous_rate="1/hour")

    def come_from(address: str) -> None:
        auth.check(Request({"type": "http", "headers": [], "client": (address, 1)}), "score")

    come_from("10.0.0.1")
    come_from("10.0.0.2")
    come_from("2001:db8:1:2::1")
    for address in ("10.0.0.1", "2001:db8:1:2::ffff", "::ffff:10.0.0.2"):
        with pytest.raises(Problem) as caught:
            come_from(address)
        assert caught.value.status == 429, address


@pytest.mark.parametrize(
    ("client", "counted"),
    [
        (None, "unknown"),
        (("testclient", 1), "testclient"),
        (("fe80::1%eth0", 1), "fe80::/64"),
        (("a:b", 1), "a:b"),
    ],
)
def test_an_address_that_is_none_is_counted_as_it_is(client: Any, counted: str) -> None:
    assert address_of(Request({"type": "http", "headers": [], "client": client})) == counted


def test_a_storage_that_fails_lets_requests_through_and_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    telemetry.configure_logging("info")
    auth = Auth(anonymous_rate="1/hour")
    asked = []

    def fail(*_: Any) -> bool:
        asked.append(1)
        raise StorageError(ConnectionError("no route"))

    monkeypatch.setattr(auth._window._window, "hit", fail)  # type: ignore[union-attr]
    for _ in range(3):
        auth.check(sent(), "score")
    assert len(asked) == 1 and "rate_storage_failed" in capsys.readouterr().err


def test_nothing_configured_is_open_to_all(client: Any) -> None:
    assert not Auth.of(Settings()).active
    assert client.post(SCORE, json=ROW).status_code == 200


def test_keys_over_http(
    serve: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "keys.yaml"
    file.write_text(yaml.safe_dump(KEYS))
    client = serve(api_keys_file=file, log_level="info")
    refused = client.post(SCORE, json=ROW)
    assert refused.status_code == 401 and refused.headers["www-authenticate"]
    assert refused.json()["type"].endswith(":unauthorized")
    lacking = client.post(SCORE, json=ROW, headers={"X-API-Key": SECRETS["maker"]})
    assert lacking.status_code == 403 and lacking.json()["scope"] == "score"
    assert client.post(SCORE, json=ROW, headers={"X-API-Key": SECRETS["scorer"]}).status_code == 200
    assert client.get("/v1/models").status_code == 401
    for open_path in ("/healthz", "/readyz", "/metrics", "/", "/openapi.json"):
        assert client.get(open_path).status_code == 200, open_path
    telemetry.flush()
    log = capsys.readouterr().err
    assert '"api_key":"scorer"' in log and not any(secret in log for secret in SECRETS.values())


def test_keys_from_the_environment_and_the_file_add_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "keys.yaml"
    file.write_text(yaml.safe_dump(KEYS[:1]))
    monkeypatch.setenv(
        "EBM_API_KEYS", f'[{{"name":"boss","sha256":"{digest(SECRETS["boss"])}","scopes":["admin"]}}]'
    )
    auth = Auth.of(Settings(api_keys_file=file))
    auth.check(sent(x_api_key=SECRETS["scorer"]), "score")
    auth.check(sent(x_api_key=SECRETS["boss"]), "admin")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read"),
        ("", "holds no keys"),
        ("a: [", "not YAML"),
        ("just words", "keys: Input should be a valid list"),
        ("- {name: a, sha256: plain-secret, scopes: [score]}", "0.sha256: String should match"),
        (f"- {{name: a, sha256: {'a' * 64}, scopes: [all]}}", "0.scopes.0"),
        (f"- {{name: a, sha256: {'a' * 64}, scopes: []}}", "0.scopes"),
        (f"- {{name: 'a b', sha256: {'a' * 64}, scopes: [score]}}", "0.name"),
        (f"- {{name: a, sha256: {'a' * 64}, scopes: [score], rate: often}}", "is no rate"),
        (f"- {{name: a, key: secret, sha256: {'a' * 64}, scopes: [score]}}", "0.key: Extra inputs"),
        (f"- &k {{name: a, sha256: {'a' * 64}, scopes: [score]}}\n- *k", "'a' is given twice"),
    ],
)
def test_a_file_of_keys_that_cannot_be_used_says_where_and_shows_no_secret(
    tmp_path: Path, text: str | None, said: str
) -> None:
    file = tmp_path / "keys.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(BadConfig) as caught:
        Auth.of(Settings(api_keys_file=file))
    message = str(caught.value)
    assert said in message and "secret" not in message and "\n" not in message
    assert "twice" in message or str(file) in message


@pytest.mark.parametrize("uri", ["carrier-pigeon://user:password@host", "redis://user:password@127.0.0.1:1"])
def test_a_rate_storage_that_cannot_be_used_hides_its_password(uri: str) -> None:
    with pytest.raises(BadConfig, match="EBM_RATE_STORAGE") as caught:
        Auth(anonymous_rate="1/hour", rate_storage=uri)
    assert "password" not in str(caught.value)


def test_all_keys_are_compared_whichever_fits(monkeypatch: pytest.MonkeyPatch, auth: Auth) -> None:
    import hmac

    compared = []
    plain = hmac.compare_digest
    monkeypatch.setattr("hmac.compare_digest", lambda a, b: (compared.append(a), plain(a, b))[1])
    auth.check(sent(x_api_key=SECRETS["scorer"]), "score")
    assert len(compared) == len(KEYS)


def test_read_keys_takes_json_too(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text(f'[{{"name":"boss","sha256":"{"a" * 64}","scopes":["admin"]}}]')
    assert [key.name for key in read_keys(file)] == ["boss"]
