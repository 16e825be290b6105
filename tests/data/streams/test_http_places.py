"""Files behind http: servers that send parts, servers that do not, and those that refuse."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from stream_files import csv_of, npy, parquet, same, table_of, text_of, whole

from ebm.data.streams import open_place, open_source
from ebm.errors import BadInput

pytest.importorskip("aiohttp")

TABLE, TEXT = table_of(300), text_of(table_of(300))
ARRAY = np.arange(600, dtype=np.float32).reshape(300, 2)
FILES = {"rows.parquet": parquet(TABLE, row_group_size=50), "rows.csv": csv_of(TEXT), "rows.npy": npy(ARRAY)}
HOLDS = {"rows.parquet": TABLE, "rows.csv": TEXT, "rows.npy": ARRAY}


class Handler(BaseHTTPRequestHandler):
    """/ranges/NAME sends parts, /plain/NAME the whole, /blind/NAME does not say how long it is."""

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        _, how, name = self.path.partition("?")[0].split("/")
        if how == "closed":
            self.send_error(403)
            return
        if name not in FILES:
            self.send_error(404)
            return
        data, wanted = FILES[name], self.headers.get("Range")
        if how == "ranges" and wanted:
            first, last = wanted.removeprefix("bytes=").split("-")
            part = data[int(first) : int(last) + 1]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}")
            data = part
        else:
            self.send_response(200)
        if how != "blind":
            self.send_header("Content-Length", str(len(data)))
        if how == "ranges":
            self.send_header("ETag", '"one"')
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("name", FILES)
def test_parts_of_a_file(address: str, name: str) -> None:
    source = open_source(f"http://{address}/ranges/{name}")
    assert same(whole(source, 70), HOLDS[name])
    mark = list(source.marks(70))[3]
    assert len(whole(source, 70, mark)) == 90
    assert source.identity()["etag"] == '"one"'
    assert source.random_access == (name != "rows.csv")


@pytest.mark.parametrize("name", ["rows.csv", "rows.npy"])
@pytest.mark.parametrize("how", ["plain", "blind"])
def test_one_long_answer_is_read_in_order(address: str, how: str, name: str) -> None:
    source = open_source(f"http://{address}/{how}/{name}")
    assert not source.random_access
    assert same(whole(source, 70), HOLDS[name])
    mark = list(source.marks(70))[3]
    assert len(whole(source, 70, mark)) == 90


def test_parquet_needs_parts(address: str) -> None:
    with pytest.raises(BadInput, match=r"rows\.parquet: .*download it first"):
        open_source(f"http://{address}/plain/rows.parquet")


def test_what_the_server_says_is_said_without_secrets(address: str) -> None:
    with pytest.raises(BadInput, match="404|no such file") as missing:
        open_source(f"http://me:secret@{address}/ranges/gone.csv?token=secret")
    with pytest.raises(BadInput, match="403") as refused:
        open_source(f"http://me:secret@{address}/closed/rows.parquet?token=secret")
    with pytest.raises(BadInput, match="^http://127.0.0.1:9/rows.csv: ") as unreached:
        open_source("http://me:secret@127.0.0.1:9/rows.csv?token=secret")
    for caught in (missing, refused, unreached):
        assert "secret" not in str(caught.value) and "\n" not in str(caught.value)


def test_a_query_is_kept_for_the_server_only(address: str) -> None:
    place = open_place(f"http://{address}/ranges/rows.csv?token=secret")
    assert "secret" not in str(place.identity()) + str(place) + repr(place)
    assert place.size() == len(FILES["rows.csv"])
