"""Thousands of damaged bodies of every kind: never a 5xx, never a hang, and no memory that stays.

Each body is damaged by a seed of its own (`corpus.mutate`), so that a failure can be run again alone. The longer run is
`EBM_FUZZ=100000 pytest tests/service/test_fuzz_bodies.py`.
"""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import os
from typing import Any

import corpus
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

ROUNDS = int(os.environ.get("EBM_FUZZ", "3000"))
HANG_S = 20  # no body here takes a hundredth of it
NAMES = sorted(corpus.GOOD)
QUERIES: list[dict[str, str]] = [
    {},
    {},
    {"on_error": "null"},
    {"ignore_unknown": "1"},
    {"resize": "1"},
    {"fdr": "0.1"},
]


def damaged(seed: int) -> tuple[str, str, bytes, dict[str, str], dict[str, str]]:
    """Model, media type, body, query and headers."""
    rng = np.random.default_rng(seed)
    model, kind, body = corpus.GOOD[NAMES[seed % len(NAMES)]]
    other = corpus.GOOD[NAMES[int(rng.integers(len(NAMES)))]]
    query, headers = QUERIES[int(rng.integers(len(QUERIES)))], {}
    body = corpus.mutate(body, other[2], rng)
    if rng.random() < 0.1:  # whole gzip around a damaged body, or the other way round
        body = gzip.compress(body, mtime=0)
        headers["content-encoding"] = "gzip"
        if rng.random() < 0.5:
            body = corpus.mutate(body, b"", rng)
    if rng.random() < 0.05:
        kind = other[1]
    return model, kind, body, query, headers


def send(client: Any, seed: int) -> Any:
    model, kind, body, query, headers = damaged(seed)
    url = f"/v1/models/{model}/score"
    return client.post(url, content=body, params=query, headers={"content-type": kind, **headers})


def answer_all(client: Any, seeds: range) -> dict[int, int]:
    """How many answers of each status; each within HANG_S."""
    found: dict[int, int] = {}
    for seed in seeds:
        answer = send(client, seed)
        assert answer.status_code in (200, 413, 415, 422), f"seed {seed}: {answer.text[:500]}"
        if answer.status_code != 200:
            detail = answer.json()["detail"]
            assert detail and "\n" not in detail and len(detail) < 1000, f"seed {seed}: {detail}"
        else:
            assert len(answer.json()["energy"]) == len(answer.json()["rank"])
        assert answer.elapsed.total_seconds() < HANG_S, f"seed {seed} hangs"
        found[answer.status_code] = found.get(answer.status_code, 0) + 1
    return found


@pytest.mark.timeout(HANG_S + ROUNDS // 10)
def test_damaged_bodies(both: Any) -> None:
    found = answer_all(both, range(ROUNDS))
    # Both sides of the fence: what is refused everywhere tests nothing beyond the first check.
    assert found[200] > ROUNDS / 20 and found[422] > ROUNDS / 3


def resident() -> int:
    """Bytes of memory that the process has now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="reads /proc")
def test_memory_stays_flat(both: Any) -> None:
    answer_all(both, range(10_000, 10_500))  # whatever is made once is made now
    gc.collect()
    before = resident()
    answer_all(both, range(10_500, 12_000))
    gc.collect()
    # A leak of one body, or of one traceback with its arrays, a request would be many times as much.
    assert resident() - before < 20_000_000


cells = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
values = st.recursive(
    cells, lambda v: st.lists(v, max_size=4) | st.dictionaries(st.text(max_size=5), v, max_size=4)
)
columns = st.sampled_from([*corpus.COLUMNS, "city", "member", "since", "other"])
rows = st.lists(st.lists(cells, min_size=2, max_size=4) | values, max_size=5)
documents = st.fixed_dictionaries(
    {},
    optional={
        "instances": rows | values,
        "records": st.lists(st.dictionaries(columns, cells, max_size=5) | values, max_size=4) | values,
        "fpr": st.floats(0, 1) | values,
        "fdr": values,
        "on_error": st.sampled_from(["null", "fail"]) | values,
        "ignore_unknown": st.booleans() | values,
    },
)


@settings(max_examples=400)
@given(document=documents, model=st.sampled_from(["people", "blobs", "mixed"]))
def test_any_document(both: Any, document: dict[str, Any], model: str) -> None:
    answer = both.post(f"/v1/models/{model}/score", content=json.dumps(document))
    assert answer.status_code in (200, 422), answer.text


@settings(max_examples=200)
@given(
    table=st.lists(st.lists(st.text(max_size=6), max_size=5), max_size=6),
    model=st.sampled_from(["people", "mixed"]),
    on_error=st.sampled_from(["null", "fail"]),
    header=st.sampled_from(["", "; header=present", "; header=absent"]),
)
def test_any_csv(both: Any, table: list[list[str]], model: str, on_error: str, header: str) -> None:
    text = "\n".join(",".join(line) for line in table)
    for head in ("", ",".join(corpus.COLUMNS) + "\n", "age,city,member,since\n"):
        answer = both.post(
            f"/v1/models/{model}/score",
            content=(head + text).encode("utf-8", "surrogatepass"),
            headers={"content-type": f"text/csv{header}"},
            params={"on_error": on_error},
        )
        assert answer.status_code in (200, 422), answer.text


@settings(max_examples=200)
@given(good=st.lists(st.booleans(), min_size=1, max_size=30), seed=st.integers(0, 2**32 - 1))
def test_rows_keep_their_order_whatever_is_wrong_with_others(both: Any, good: list[bool], seed: int) -> None:
    rng = np.random.default_rng(seed)
    bad: list[Any] = [[1], [None, 1, 1], ["x", 1, 1], 7, [1, 2, 3, 4], [1e300, 1, 1]]
    rows = [rng.normal(40, 5, 3).tolist() if ok else bad[int(rng.integers(len(bad)))] for ok in good]
    kept = [row for row, ok in zip(rows, good, strict=True) if ok]
    if all(isinstance(row, int) for row in rows):
        return  # refused as one row without its brackets
    answer = both.post("/v1/models/people/score", json={"instances": rows, "on_error": "null"}).json()
    assert [i for i, ok in enumerate(good) if not ok] == [error["row"] for error in answer["errors"]]
    if kept:
        want = both.post("/v1/models/people/score", json={"instances": kept}).json()
        assert [e for e in answer["energy"] if e is not None] == want["energy"]
        assert [r for r in answer["rank"] if r is not None] == want["rank"]


def test_damaged_bodies_at_the_same_time(both: Any) -> None:
    """Parsers in several threads at once, good bodies among them: each good one has its own answer."""
    good = {name: corpus.GOOD[name] for name in ("json", "parquet", "stream", "csv", "form", "mixed-parquet")}
    alone = {name: both.post(f"/v1/models/{m}/score", content=b, headers={"content-type": k}).json()["energy"]
             for name, (m, k, b) in good.items()}  # fmt: skip

    async def one(client: Any, seed: int) -> None:
        name = list(good)[seed % len(good)]
        model, kind, body, query, headers = damaged(20_000 + seed)
        answer = await client.post(
            f"/v1/models/{model}/score", content=body, params=query, headers={"content-type": kind, **headers}
        )
        assert answer.status_code in (200, 413, 415, 422), f"seed {seed}: {answer.text[:500]}"
        model, kind, body = good[name]
        answer = await client.post(f"/v1/models/{model}/score", content=body, headers={"content-type": kind})
        np.testing.assert_allclose(answer.json()["energy"], alone[name], rtol=1e-6)

    async def everything() -> None:
        import httpx

        transport = httpx.ASGITransport(both.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            for start in range(0, 320, 16):
                await asyncio.gather(*[one(client, seed) for seed in range(start, start + 16)])

    both.portal.call(everything)
