"""The page's files, and the JSON that it lives on."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from collections.abc import Callable
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from fasttrace.local.index import reader

WEB = Path(str(files("fasttrace.local").joinpath("web")))


def test_vendored_files_are_those_that_the_manifest_names() -> None:
    """Each is byte for byte what the npm package holds, with its licence beside it."""
    vendor = WEB / "vendor"
    listed = json.loads((vendor / "manifest.json").read_text())["files"]
    for entry in listed:
        assert sha256((vendor / entry["file"]).read_bytes()).hexdigest() == entry["sha256"], entry["file"]
        assert entry["licence"] in ("MIT", "Apache-2.0")
        assert len((vendor / entry["licence_file"]).read_text()) > 500
        assert re.fullmatch(r"\d+\.\d+\.\d+", entry["version"])
    named = {entry["file"] for entry in listed} | {entry["licence_file"] for entry in listed} | {"manifest.json"}
    assert {path.name for path in vendor.iterdir()} == named


def test_the_page_names_no_other_host() -> None:
    allowed = {"http://www.w3.org/2000/svg"}
    for path in WEB.rglob("*"):
        if path.suffix in (".html", ".css", ".js", ".svg") and path.parent.name != "vendor":
            assert set(re.findall(r"https?://[\w./]+", path.read_text())) <= allowed, path


def test_the_page_makes_no_markup_of_text_and_no_code() -> None:
    for path in (WEB / "js").iterdir():
        text = path.read_text()
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|dangerouslySetInnerHTML|document\.write|\beval\(|new Function", text), path  # fmt: skip


def test_every_file_is_served_with_its_type_and_not_sent_twice(server: Any) -> None:
    for path in WEB.rglob("*"):
        if path.suffix not in (".html", ".css", ".js", ".mjs", ".svg"):
            continue
        answer = server.client.get("/" + path.relative_to(WEB).as_posix())
        assert answer.content == path.read_bytes()
        again = server.client.get(
            "/" + path.relative_to(WEB).as_posix(), headers={"if-none-match": answer.headers["etag"]}
        )
        assert (again.status_code, again.content) == (304, b"")
    assert server.client.get("/js/main.js").headers["content-type"].startswith("text/javascript")
    assert server.client.get("/").text == (WEB / "index.html").read_text()


@pytest.mark.parametrize(
    "path", ["/../api.py", "/%2e%2e/api.py", "/js/../../api.py", "//etc/passwd", "/vendor/manifest.json", "/js"]
)
def test_nothing_else_of_the_disk_is_served(server: Any, path: str) -> None:
    assert server.client.get(server.url + path).status_code == 404


def test_traces_are_listed_searched_and_paged(shop: Any) -> None:
    server, ids = shop
    listed = server.get("/api/traces", limit=3)
    assert [trace["trace_id"] for trace in listed["traces"]][:2] == [ids["hostile"], ids["slow"]]
    following = server.get("/api/traces", limit=3, before=listed["next"])
    assert not {trace["trace_id"] for trace in following["traces"]} & {trace["trace_id"] for trace in listed["traces"]}
    found = server.get("/api/traces", q="service=inventory status=error")
    assert [trace["trace_id"] for trace in found["traces"]] == [ids["slow"]]


@pytest.mark.parametrize(
    ("path", "params", "status", "said"),
    [
        ("/api/traces", {"q": "servce=inventory"}, 400, "did you mean service"),
        ("/api/traces", {"q": "dur>5"}, 400, "unit"),
        ("/api/histogram", {"q": '"open'}, 400, "not closed"),
        ("/api/map", {"q": "dur=1ms"}, 400, "dur takes"),
        ("/api/routes", {"q": "status=503"}, 400, "code=503"),
        ("/api/traces", {"limit": "many"}, 400, "limit='many': use a whole number from 1 to 500"),
        ("/api/traces", {"limit": "501"}, 400, "from 1 to 500"),
        ("/api/traces", {"limit": "000000001000000"}, 400, "from 1 to 500"),
        ("/api/timeline", {"buckets": "000000001" + "0" * 5000}, 400, "from 1 to 200"),
        ("/api/traces", {"before": "nonsense"}, 400, ""),
        ("/api/trace/ffffffffffffffffffffffffffffffff", {}, 404, "no trace"),
        ("/api/trace/%00", {}, 404, ""),
        ("/api/trace/" + "z" * 32, {}, 404, "no trace"),
        ("/api/trace/" + "g" * 32 + "/diagnosis", {}, 404, "no trace"),
        ("/api/compare", {"a": "slow", "b": "xyz"}, 404, "xyz"),
        ("/api/nothing", {}, 404, ""),
    ],
    ids=lambda value: str(value)[:40],
)
def test_mistakes_are_answered_in_words(shop: Any, path: str, params: dict[str, str], status: int, said: str) -> None:
    answer = shop[0].client.get(path, params=params)
    assert answer.status_code == status
    assert said in answer.text
    if path != "/api/nothing":
        assert set(answer.json()) <= {"error", "position"}


def test_a_trace_comes_in_columns_and_its_spans_one_by_one(shop: Any) -> None:
    server, ids = shop
    trace = server.get(f"/api/trace/{ids['slow']}")
    columns = ("ids", "parents", "names", "services_of", "kinds", "depths", "starts", "durations", "selves", "statuses")
    assert {len(trace[column]) for column in columns} == {trace["count"]} == {15}
    assert [trace["texts"][place] for place in trace["names"]][:4] == [
        "POST /checkout",
        "POST",
        "POST /reserve",
        "SELECT stock",
    ]
    assert trace["parents"][:4] == [-1, 0, 1, 2] and trace["failed_rows"] == [2]
    assert [trace["texts"][place] for place in trace["saying"]][:2] == ["", "/reserve"]
    assert any(fold["count"] == 12 for fold in trace["folds"])
    assert sum(end - start for path in trace["paths"].values() for start, end in path) == trace["duration_ns"]
    span = server.get(f"/api/trace/{ids['slow']}/span/2")
    assert (span["span_id"], span["message"], span["row"]) == (ids["error_span"], "no stock left", 2)
    assert span["resource"]["service.name"] == "inventory"
    for row in ("15", "-1", "two", "9" * 5000):
        assert server.client.get(f"/api/trace/{ids['slow']}/span/{row}").status_code == 404
    (event,) = server.get(f"/api/trace/{ids['slow']}/events")["events"]
    assert (event["row"], event["attributes"]["log.message"]) == (2, "pool exhausted")


def test_numbers_that_json_or_browsers_do_not_have_arrive_as_text(shop: Any) -> None:
    server, ids = shop
    attributes = server.get(f"/api/trace/{ids['hostile']}/span/0")["attributes"]
    assert (attributes["n"], attributes["big"]) == ("nan", str(2**60 + 1))


def test_an_index_that_can_not_be_asked_is_no_fault_of_the_request(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(reader, "page", full)
    answer = shop[0].client.get("/api/traces")
    assert answer.status_code == 503 and "make room, or delete it" in answer.json()["error"]


def test_the_other_views_are_answered(shop: Any) -> None:
    server, ids = shop
    assert {node["service"] for node in server.get("/api/map", q="-name~img")["nodes"]} >= {"gateway", "inventory"}
    assert any(row["route"] == "/checkout" for row in server.get("/api/routes")["routes"])
    assert sum(bucket["count"] for bucket in server.get("/api/histogram", buckets=20)["buckets"]) == 8
    assert server.get("/api/compare", a=ids["fast0"], b=ids["slow"])["b"]["spans"] == 15
    assert {row["service"] for row in server.get("/api/services")["services"]} >= {"gateway"}
    health = server.get("/api/health")
    assert health["index"]["traces"] == 8 and health["receiver"]["requests"] == 0 and health["trouble"] == ""
    assert {process["service"] for process in health["processes"]} >= {"gateway", "inventory"}
    assert all(process["exported"] and not process["dropped"] for process in health["processes"])
    assert health["dropped"] == {"spans": 0, "reasons": {}, "processes": 0}


def test_what_is_written_meanwhile_is_told_to_open_pages(start: Callable[..., Any]) -> None:
    server = start()
    from viewer_seed import Shop

    with server.client.stream("GET", "/api/live") as stream:
        lines = (line for line in stream.iter_lines() if line)
        first = json.loads(next(lines).removeprefix("data: "))
        writer = Shop(server.spool)
        writer.span("late", "one more", None, 99_000, 99_001)
        writer.close()
        second = json.loads(next(line for line in lines if line.startswith("data: ")).removeprefix("data: "))
        assert second["version"] > first["version"]
        assert server.client.get("/api/traces").headers["x-fasttrace-version"] == str(second["version"])
    assert server.get("/api/traces")["traces"][0]["name"] == "one more"


def test_open_pages_are_told_that_the_store_is_gone(start: Callable[..., Any]) -> None:
    from viewer_seed import Shop

    server = start()
    writer = Shop(server.spool)
    writer.span("shop", "work", None, 0, 1)
    writer.close()
    server.wait_for(lambda: server.get("/api/traces")["traces"])
    readers = server.app.state.readers
    told = server.wait_for(lambda: readers.version)
    shutil.rmtree(server.spool)
    server.wait_for(lambda: readers.version > told)
    assert server.get("/api/traces")["traces"] == []


def test_a_trace_is_decoded_again_only_when_spans_of_it_have_come(
    start: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from viewer_seed import Shop

    from fasttrace.local.index import Index

    decoded: list[str] = []
    trace = Index.trace
    monkeypatch.setattr(Index, "trace", lambda self, which: decoded.append(which) or trace(self, which))
    server = start()
    writer = Shop(server.spool)

    def written(name: str, parent: Any) -> Any:
        span = writer.span("shop", name, parent, 0, 10)
        writer.close()
        server.wait_for(lambda: server.get("/api/traces", q=f"name={name}")["traces"])
        return span

    root = written("first", None)
    path = f"/api/trace/{root.get_span_context().trace_id:032x}"
    assert server.get(path)["count"] == 1
    written("other", None)
    assert server.get(f"{path}/span/0")["name"] == "first" and server.get(path)["count"] == 1
    assert len(decoded) == 1
    written("second", root)
    assert server.get(path)["count"] == 2 and server.get(f"{path}/span/1")["name"] == "second"
    assert len(decoded) == 2
