"""Which encoding a client gets, and that the bytes are the same."""

from __future__ import annotations

import gzip
import zlib

import pytest

from service.compression import choose


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("gzip, deflate, br", "gzip"),
        ("deflate, gzip;q=0.5", "deflate"),
        ("GZIP;Q=1", "gzip"),
        ("*", "gzip"),
        ("gzip;q=0, *", "deflate"),
        ("identity", None),
        ("br", None),
        ("", None),
        ("gzip;q=0", None),
        ("gzip;q=x", None),
        ("*;q=0", None),
    ],
)
def test_the_clients_favourite(accepted, encoding):
    assert choose(accepted) == encoding


@pytest.mark.parametrize(("encoding", "undo"), [("gzip", gzip.decompress), ("deflate", zlib.decompress)])
def test_long_answers_are_compressed_for_who_asks(client, image, encoding, undo):
    body = {
        "inputs": [{"name": "input", "datatype": "FP64", "shape": [50, 6, 5], "data": [image.tolist()] * 50}]
    }
    url = "/v2/models/blobs/infer"
    plain = client.post(url, json=body, headers={"Accept-Encoding": "identity"})
    sent = client.post(url, json=body, headers={"Accept-Encoding": encoding})
    assert "content-encoding" not in plain.headers and plain.headers["vary"] == "Accept-Encoding"
    assert sent.headers["content-encoding"] == encoding
    assert int(sent.headers["content-length"]) < len(plain.content)
    assert sent.content == plain.content  # httpx undoes it
    assert undo(_raw(client, url, body, encoding)) == plain.content


def test_short_answers_are_sent_as_they_are(client, image):
    body = {"inputs": [{"name": "input", "datatype": "FP64", "shape": [1, 6, 5], "data": [image.tolist()]}]}
    answer = client.post("/v2/models/blobs/infer", json=body, headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in answer.headers


def _raw(client, url, body, encoding):
    """The bytes as they were sent."""
    import httpx

    async def send():
        transport = httpx.ASGITransport(client.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            async with http.stream("POST", url, json=body, headers={"Accept-Encoding": encoding}) as answer:
                return b"".join([part async for part in answer.aiter_raw()])

    return client.portal.call(send)
