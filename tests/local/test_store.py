"""The spool's reader: all spans, what is written meanwhile, and traces in brief."""

from __future__ import annotations

from pathlib import Path

from sample_traces import span

import fasttrace
from fasttrace.export import SpoolExporter, segments
from fasttrace.local.store import Store, Summary


def record(directory: Path, *names: str) -> None:
    """One trace with one span for each name, in a segment of their own."""
    provider = fasttrace.TracerProvider(service_name="tests", exporter=SpoolExporter(directory))
    for name in names:
        with provider.get_tracer("tests").start_as_current_span(name):
            pass
    assert provider.shutdown(timeout=60)


def test_directory_that_is_not_there_is_empty_and_stays_so(tmp_path: Path) -> None:
    store = Store(tmp_path / "none")
    assert list(store.spans()) == []
    assert list(store.tail().read()) == []
    assert not (tmp_path / "none").exists()


def test_spans_of_all_segments_are_read(tmp_path: Path) -> None:
    record(tmp_path, "first", "second")
    record(tmp_path, "third")
    assert len(segments.paths(tmp_path)) == 2
    assert [data.name for data in Store(tmp_path).spans()] == ["first", "second", "third"]


def test_torn_end_of_a_segment_is_left_out(tmp_path: Path) -> None:
    record(tmp_path, "whole")
    record(tmp_path, "torn")
    last = Path(segments.paths(tmp_path)[-1])
    last.write_bytes(last.read_bytes()[:-3])
    assert [data.name for data in Store(tmp_path).spans()] == ["whole"]


def test_tail_gives_what_is_new_and_gives_it_once(tmp_path: Path) -> None:
    record(tmp_path, "before")
    tail = Store(tmp_path).tail()
    assert list(tail.read()) == []
    record(tmp_path, "after")
    assert [data.name for data in tail.read()] == ["after"]
    assert list(tail.read()) == []


def test_summary_takes_name_status_and_duration_from_the_root_whenever_it_comes() -> None:
    child = span(2, 1, 10, 20, "SELECT", "db")
    root = span(1, 0, 0, 50, "GET /", "web", http__response__status_code=503, error="")
    for order in ((child, root), (root, child)):
        summary = Summary(root.trace_id)
        for data in order:
            summary.add(data)
        assert (summary.name, summary.status, summary.duration_ns) == ("GET /", "503", 50_000_000)
        assert (summary.spans, summary.errors, summary.services) == (2, 1, ["web", "db"])
        assert summary.complete


def test_summary_without_a_root_is_incomplete_and_lasts_from_first_to_last() -> None:
    summary = Summary("0" * 32)
    summary.add(span(2, 1, 30, 40, "later"))
    summary.add(span(3, 1, 10, 20, "earlier"))
    assert (summary.name, summary.duration_ns, summary.complete) == ("earlier", 30_000_000, False)
