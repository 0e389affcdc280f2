"""The time that requests spend in a service itself, as the index has it."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from sample_traces import MS, any_spans

import fasttrace
from fasttrace._core.types import SpanData
from fasttrace.export import SpoolExporter
from fasttrace.local import api
from fasttrace.local.index import Index
from fasttrace.local.index.derive import Row, _entries
from fasttrace.local.index.schema import ENTERS, FAILED
from fasttrace.local.model import Trace

BASE_NS = 1_795_435_421_220_000_000
SERVER = fasttrace.SpanKind.SERVER


def routes(directory: Path) -> dict[tuple[str, str], int]:
    index = Index(directory)
    index.refresh()
    found = {(row["service"], row["route"]): row["self_ns"] for row in api.routes(index)["routes"]}
    index.close()
    return found


def test_time_of_called_services_is_theirs_and_counts_once_where_they_run_together(tmp_path: Path) -> None:
    providers = {
        name: fasttrace.TracerProvider(service_name=name, exporter=SpoolExporter(tmp_path))
        for name in ("web", "shop", "stock")
    }

    def begin(service: str, name: str, at_ms: int, parent: object, **options: object) -> fasttrace.Span:
        tracer = providers[service].get_tracer("t")
        return tracer.start_span(name, context=parent, start_time=BASE_NS + at_ms * MS, **options)  # type: ignore[arg-type]

    root = begin("web", "GET /", 0, fasttrace.Context(), kind=SERVER)
    inside = begin("web", "render", 5, root)
    first = begin("shop", "GET /orders", 10, inside, kind=SERVER)
    second = begin("shop", "GET /orders", 20, root, kind=SERVER)
    deeper = begin("stock", "GET /stock", 30, second, kind=SERVER)
    for span, end in ((deeper, 40), (first, 50), (second, 60), (inside, 70), (root, 100)):
        span.end(BASE_NS + end * MS)
    assert all(provider.shutdown(timeout=60) for provider in providers.values())
    assert routes(tmp_path) == {
        ("web", "GET /"): 50 * MS,
        ("shop", "GET /orders"): (40 + 30) * MS,
        ("stock", "GET /stock"): 10 * MS,
    }


def test_routes_are_told_apart_by_their_method(tmp_path: Path) -> None:
    provider = fasttrace.TracerProvider(service_name="web", exporter=SpoolExporter(tmp_path))
    for method in ("GET", "POST"):
        asked = {"http.request.method": method, "http.route": "/orders"}
        provider.get_tracer("t").start_span("handler", kind=SERVER, attributes=asked).end()
    assert provider.shutdown(timeout=60)
    assert sorted(routes(tmp_path)) == [("web", "GET /orders"), ("web", "POST /orders")]


def rows(spans: list[SpanData]) -> list[Row]:
    services = {"web": 1, "shop": 2, "db": 3}
    return [
        (
            1, int(node.span.span_id, 16), int(node.span.parent_span_id, 16) if node.span.parent_span_id else None,
            node.start_ns, node.duration_ns, services[node.service],
            (FAILED if node.error else 0) | (ENTERS if node.index % 3 == 0 else 0), 7,
        )
        for node in Trace(spans).nodes
    ]  # fmt: skip


@given(any_spans())
@settings(max_examples=200)
def test_own_time_is_part_of_the_duration_whatever_is_missing_or_goes_in_circles(spans: list[SpanData]) -> None:
    found = list(_entries(1, rows(spans)))
    assert len({entry[1] for entry in found}) == len(found)
    for *_, duration, _, own in found:
        assert 0 <= own <= duration
