"""The answers in plain dicts: the agreed names, and that the figures add up."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sample_traces as traces
from hypothesis import given
from hypothesis import strategies as st
from sample_traces import BASE_NS, MS, any_spans, span
from spools import put

from fasttrace.local import api, trace_data
from fasttrace.local.figures import percentile
from fasttrace.local.index import Index, TraceNotFound
from fasttrace.local.model import Trace
from fasttrace.local.search import SearchError, parse


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    """The slow checkout, and nine quick requests after it."""
    quick = [
        [span(1, 0, 3000 + number, 3010 + 2 * number, "GET /", "gateway", trace_id=f"{number:032x}")]
        for number in range(1, 10)
    ]
    put(tmp_path, traces.checkout(), *quick)
    with Index(tmp_path) as index:
        index.refresh()
        yield index


def sound(answer: dict[str, Any]) -> dict[str, Any]:
    """As ``json`` gives it back, NaN and bytes being none of it."""
    return json.loads(json.dumps(answer, allow_nan=False))  # type: ignore[no-any-return]


def test_traces_are_listed_by_pages(index: Index) -> None:
    first = sound(api.traces(index, limit=4))
    assert first["total_matching"] == 10
    assert [row["trace_id"][-1] for row in first["traces"]] == ["9", "8", "7", "6"]
    assert first["traces"][0] == {
        "trace_id": f"{9:032x}", "name": "GET /", "service": "gateway", "services": ["gateway"],
        "start_ns": str(BASE_NS + 3009 * MS), "duration_ns": 19 * MS, "spans": 1, "errors": 0, "status": "ok", "complete": True,
    }  # fmt: skip
    rest = sound(api.traces(index, limit=50, before=first["next"]))
    assert [row["trace_id"][-1] for row in rest["traces"]] == ["5", "4", "3", "2", "1", "6"]
    assert rest["next"] is None
    found = api.traces(index, "service=payments")
    assert [row["name"] for row in found["traces"]] == ["POST /checkout"]
    assert (found["total_matching"], found["hint"]) == (1, "")
    assert api.traces(index, "nothing.such=5")["hint"] == "no span has an attribute nothing.such"
    assert api.traces(index, order="slowest", limit=1)["traces"][0]["name"] == "POST /checkout"
    with pytest.raises(SearchError):
        api.traces(index, "dur>5")
    with pytest.raises(Exception, match="is no place in the list"):
        api.traces(index, before="x")


def test_trace_has_its_spans_in_tree_order(index: Index) -> None:
    found = sound(api.trace(index, traces.TRACE_ID))
    model = Trace(traces.checkout())
    assert [one["name"] for one in found["spans"]] == [node.name for node in model.nodes]
    assert found["start_ns"] == str(BASE_NS)
    assert found["duration_ns"] == 2310 * MS
    root, call = found["spans"][:2]
    assert (root["depth"], root["start"], root["duration"], root["parent_id"]) == (0, 0, 2310 * MS, "")
    assert (call["depth"], call["parent_id"], call["kind"]) == (1, root["span_id"], "client")
    assert {"rule": "pool_wait", "span_id": f"{6:016x}"}.items() <= found["diagnosis"][0].items()
    assert sum(end - start for one in found["spans"] for start, end in one["path"]) == found["duration_ns"]
    assert [len(fold["spans"]) for fold in found["folds"]] == [12]
    assert found["resources"][root["resource"]]["service.name"] == root["service"] == "gateway"
    with pytest.raises(TraceNotFound):
        api.trace(index, "0" * 32)


@given(any_spans(), st.one_of(st.floats(), st.binary(), st.integers(), st.lists(st.floats())))
def test_trace_of_any_shape_is_plain_json(spans: list[Any], value: object) -> None:
    spans[0].attributes["odd"] = value
    found = sound(trace_data.whole(Trace(spans)))
    assert all(one["self"] >= 0 <= one["depth"] for one in found["spans"])


def test_histogram_counts_every_trace_once(index: Index) -> None:
    found = sound(api.histogram(index, buckets=8))
    assert found["total"] == 10 == sum(bucket["count"] for bucket in found["buckets"])
    assert sum(bucket["errors"] for bucket in found["buckets"]) == 1
    assert found["buckets"][0]["from_ns"] <= 11 * MS
    assert found["buckets"][-1]["to_ns"] > 2310 * MS
    assert all(
        one["to_ns"] == following["from_ns"]
        for one, following in zip(found["buckets"], found["buckets"][1:], strict=False)
    )
    assert (found["p50"], found["p95"]) == (15 * MS, 2310 * MS)
    assert api.histogram(index, "service=none")["buckets"] == []


def test_timeline_counts_every_trace_once_where_it_began(index: Index) -> None:
    found = sound(api.timeline(index, buckets=8))
    assert found["total"] == 10 == sum(bucket["count"] for bucket in found["buckets"])
    assert sum(bucket["errors"] for bucket in found["buckets"]) == 1
    assert found["buckets"][0]["from_ns"] == str(BASE_NS) and len(found["buckets"]) <= 8
    first = found["buckets"][0]
    begun = [row for row in api.traces(index)["traces"] if int(row["start_ns"]) < int(first["to_ns"])]
    assert first["count"] == len(begun)
    assert api.timeline(index, "service=none") == {"total": 0, "buckets": []}


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=30), st.floats(0.001, 1))
def test_percentile_is_a_value_that_so_many_do_not_exceed(values: list[int], share: float) -> None:
    values.sort()
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-9


def test_services_map_and_routes(index: Index) -> None:
    services = {row["service"]: row for row in sound(api.services(index))["services"]}
    assert services["gateway"]["spans"] == 11
    assert services["shipping"]["errors"] == 1
    found = sound(api.service_map(index, "service=payments"))
    edges = {(edge["from"], edge["to"]): edge for edge in found["edges"]}
    assert set(edges) == {
        ("gateway", "checkout"),
        ("checkout", "inventory"),
        ("checkout", "payments"),
        ("checkout", "shipping"),
    }
    assert (edges["checkout", "shipping"]["calls"], edges["checkout", "shipping"]["errors"]) == (2, 1)
    assert edges["gateway", "checkout"]["p95"] == 2292 * MS
    assert {node["service"] for node in found["nodes"]} == set(services)
    routes = {(row["service"], row["route"]): row for row in sound(api.routes(index))["routes"]}
    assert (routes["gateway", "GET /"]["count"], routes["gateway", "GET /"]["p50"]) == (9, 15 * MS)


def test_comparison_of_a_trace_with_itself_shows_no_change(index: Index) -> None:
    found = sound(api.compare(index, traces.TRACE_ID, traces.TRACE_ID[:8]))
    assert found["change"] == 0
    assert all(row["change"] == 0 and row["a"] == row["b"] for row in found["rows"])
    other = sound(api.compare(index, traces.TRACE_ID, f"{9:032x}"))
    assert sum(row["b"] is not None for row in other["rows"]) == 1


def test_comparison_of_groups_has_the_figures_of_all_their_requests(index: Index) -> None:
    found = sound(api.compare(index, "-trace.dur=1s..3s", "trace.dur=1s..3s"))
    assert (found["a"]["all"]["traces"], found["b"]["all"]["traces"]) == (9, 1)
    assert (found["b"]["all"]["errors"], found["b"]["all"]["p95"]) == (1, 2310 * MS)
    routes = {(row["service"], row["route"]): row for row in found["routes"]}
    assert routes["gateway", "GET /"]["a"]["count"] == 9 and routes["gateway", "GET /"]["b"] is None
    same = sound(api.compare(index, "..", ".."))
    assert {row["change"] for row in same["routes"]} == {0}
    assert sum(row["a"]["count"] for row in same["routes"]) == len(index.entries(parse("")))


def test_of_a_group_no_more_spans_are_aligned_than_fit(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fasttrace.local.sides.MAX_SPANS", 4)
    found = api.compare(index, "..", "trace.dur>1s")
    assert (found["a"]["traces"], found["a"]["all"]["traces"]) == (4, 10)
    assert found["b"]["traces"] == 1  # the newest one in any case


def test_rates_are_over_the_time_that_is_asked_for_as_far_as_there_are_traces(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = max(int(row["start_ns"]) for row in api.traces(index)["traces"])
    monkeypatch.setattr(time, "time_ns", lambda: last + 10 * 10**9)
    whole = api.service_map(index)
    assert (whole["from_ns"], whole["to_ns"]) == (str(BASE_NS), str(last))
    node = next(node for node in whole["nodes"] if node["service"] == "gateway")
    assert node["rate"] == pytest.approx(node["requests"] / ((last - BASE_NS) / 1e9), abs=1e-6)
    asked = api.service_map(index, "age<12s service=gateway")
    assert (int(asked["from_ns"]), int(asked["to_ns"])) == (last - 2 * 10**9, last)
    assert asked["nodes"][0]["rate"] == asked["nodes"][0]["requests"] / 2
    assert int(api.service_map(index, "age<1h")["from_ns"]) == BASE_NS


def test_health_counts_what_there_is(index: Index) -> None:
    found = sound(api.health(index))["index"]
    assert (found["traces"], found["spans"], found["segments"], found["unreadable"]) == (10, 35, 1, 0)
    assert found["first_ns"] == str(BASE_NS)
