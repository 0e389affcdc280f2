"""JSON lines, console and memory: the same spans in forms for files and people."""

from __future__ import annotations

import io
import json
import stat
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

import fasttrace
from fasttrace.errors import ConfigurationError
from fasttrace.export import ConsoleExporter, JSONLinesExporter, MemoryExporter

MakeBatch = Callable[..., Any]


def hex_ids(message: dict[str, Any]) -> dict[str, Any]:
    """OTLP/JSON has ids in hex where protobuf's JSON has base64; the official parser wants the latter."""
    import base64

    for resource_spans in message["resourceSpans"]:
        for scope_spans in resource_spans["scopeSpans"]:
            for span in scope_spans["spans"]:
                for holder in (span, *span.get("links", [])):
                    for key in ("traceId", "spanId", "parentSpanId"):
                        if key in holder:
                            holder[key] = base64.b64encode(bytes.fromhex(holder[key])).decode()
    return message


def test_a_line_is_the_otlp_request_as_the_official_library_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    kept: list[bytes] = []

    class Both(JSONLinesExporter):
        def export(self, batch: Any) -> None:
            kept.append(batch.otlp)
            super().export(batch)

    provider = fasttrace.TracerProvider(exporter=Both(path), service_name="shop", schedule_delay=60)
    tracer = provider.get_tracer("library", "2", "https://example.org/1")
    with tracer.start_as_current_span("root", kind=fasttrace.SpanKind.SERVER) as root:
        root.set_attributes(
            {"text": "ü✓", "int": 2**53 + 1, "float": 1.5, "flag": False, "bytes": b"\0\xff", "none": None}
        )
        root.set_attributes({"list": [1, [True, "x"], {"k": -1}], "zero": 0, "empty": ""})
        root.add_event("event", {"a": 1})
        root.add_link(fasttrace.SpanContext(1, 2, True, 1, "a=1"), {"b": 2})
        root.set_status(fasttrace.StatusCode.ERROR, "broken")
        with tracer.start_as_current_span("child"):
            pass
    assert provider.flush(60)
    provider.shutdown(5)
    (line,) = path.read_text(encoding="utf-8").splitlines()
    assert str(json_format.ParseDict(hex_ids(json.loads(line)), TracesData())) == str(TracesData.FromString(kept[0]))


def test_several_writers_share_a_file_line_by_line(tmp_path: Path, make_batch: MakeBatch) -> None:
    path = tmp_path / "traces.jsonl"
    batch = make_batch(100)

    def write() -> None:
        exporter = JSONLinesExporter(path)
        for _ in range(10):
            exporter.export(batch)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = path.read_text().splitlines()
    assert len(lines) == 40
    assert all(len(json.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"]) == 100 for line in lines)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("restarted", [False, True])
def test_a_torn_line_costs_its_own_batch_only(
    tmp_path: Path, make_batch: MakeBatch, full_disk: Callable[[int], AbstractContextManager[None]], restarted: bool
) -> None:
    path = tmp_path / "traces.jsonl"
    JSONLinesExporter(path).export(make_batch(1))
    exporter = JSONLinesExporter(path)
    with full_disk(path.stat().st_size + 20):
        for _ in range(3):
            with pytest.raises(OSError, match="File too large"):
                exporter.export(make_batch(2))
    if restarted:
        exporter = JSONLinesExporter(path)
    for _ in range(2):
        exporter.export(make_batch(3))
    whole, torn, *more = path.read_text().splitlines()
    assert len(torn) == 20
    spans = [len(json.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"]) for line in (whole, *more)]
    assert spans == [1, 3, 3]


def test_a_path_that_cannot_be_written_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"can't be written .*: name a file in a folder that exists"):
        JSONLinesExporter(tmp_path / "missing" / "traces.jsonl")


def test_the_console_shows_a_span(make_batch: MakeBatch) -> None:
    stream = io.StringIO()
    ConsoleExporter(stream).export(make_batch(2, "operation"))
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    assert "operation" in lines[0]
    assert "number=0" in lines[0]


def test_memory_keeps_spans_and_clears(make_batch: MakeBatch) -> None:
    exporter = MemoryExporter()
    exporter.export(make_batch(3, "operation"))
    assert [span.attributes["number"] for span in exporter.spans] == [0, 1, 2]
    assert exporter.spans[0].resource["service.name"] == "test"
    exporter.clear()
    assert exporter.spans == []


def test_a_batch_counts_and_decodes_itself(make_batch: MakeBatch) -> None:
    batch = make_batch(4)
    assert len(batch) == 4
    assert [span.name for span in batch] == ["operation"] * 4


def test_exporters_are_made_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    from fasttrace import config

    for name in config.EXPORTERS:
        if name == "otlp-grpc" and find_spec("grpc") is None:
            continue
        provider = fasttrace.TracerProvider(exporter=name)
        with provider.get_tracer("test").start_as_current_span("operation"):
            pass
        provider.shutdown(0 if name.startswith("otlp") else 5)
    assert (tmp_path / "traces.jsonl").exists()
    assert list((tmp_path / ".fasttrace" / "spool").glob("*.spool"))
