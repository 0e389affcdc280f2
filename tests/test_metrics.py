"""The text for Prometheus, read by its own parser."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

import fasttrace
from fasttrace import accounts, metrics
from fasttrace.export import SpoolExporter


def read(text: str) -> dict[str, Any]:
    """The families by name, none twice."""
    families = list(text_string_to_metric_families(text))
    found = {family.name: family for family in families}
    assert len(found) == len(families)
    return found


def value(families: dict[str, Any], name: str, **labels: str) -> float:
    (found,) = [
        sample.value
        for family in families.values()
        for sample in family.samples
        if sample.name == name and sample.labels == labels
    ]
    return float(found)


def test_every_figure_of_stats_is_there() -> None:
    stats = accounts.blank()
    numbers = iter(range(1, 100))
    stats |= {key: next(numbers) for key, figure in stats.items() if isinstance(figure, (int, float)) or figure is None}
    stats["dropped"] = {reason: next(numbers) for reason in stats["dropped"]}
    stats |= {"away": True, "last_error": "secret text", "exporter": "OTLPExporter", "destination": "http://localhost"}
    text = metrics.prometheus_text(stats)
    families = read(text)
    shown = {sample.value for family in families.values() for sample in family.samples}
    figures = [figure for figure in [*stats.values(), *stats["dropped"].values()] if isinstance(figure, int)]
    assert set(map(float, figures)) <= shown
    assert all(family.documentation for family in families.values())
    assert value(families, "fasttrace_spans_total", state="exported") == stats["exported"]
    assert value(families, "fasttrace_spans_dropped_total", reason="queue_full") == stats["dropped"]["queue_full"]
    assert value(families, "fasttrace_receiver_away") == 1
    assert families["fasttrace_spans_dropped"].type == "counter"
    assert families["fasttrace_queued_bytes"].type == "gauge"
    assert "secret text" not in text


def test_a_real_provider_adds_up() -> None:
    provider = fasttrace.TracerProvider(exporter="memory", sampler=0.5, schedule_delay=60)
    for _ in range(100):
        provider.get_tracer("test").start_span("operation").end()
    provider.get_tracer("test").start_span("abandoned")
    assert provider.flush(20)
    families = read(metrics.prometheus_text(provider.stats()))
    fates = [
        sample.value
        for name in ("fasttrace_spans", "fasttrace_spans_dropped")
        for sample in families[name].samples
        if sample.name.endswith("_total")
    ]
    waiting = [value(families, f"fasttrace_{name}_spans") for name in ("active", "queued", "held", "spooled")]
    assert value(families, "fasttrace_started_spans_total") == sum(fates) + sum(waiting) == 101
    assert value(families, "fasttrace_thread_cpu_seconds_total") > 0
    assert value(families, "fasttrace_cpu_seconds_total") > 0
    assert 0 < value(families, "fasttrace_cpu_percent") <= 100
    assert "fasttrace_span_cpu_microseconds" not in families  # fewer spans than one that is timed
    assert value(families, "fasttrace_last_export_timestamp_seconds") > 1e9
    assert "fasttrace_last_error_timestamp_seconds" not in families
    provider.shutdown()


@pytest.mark.parametrize("path", ['C:\\new "folder"', "line\nbreak", "\\n", "ümlaut €", "\\", "a\udc80b"])
def test_labels_are_escaped(path: str) -> None:
    stats = {**accounts.blank(), "destination": path}
    text = metrics.prometheus_text(stats)
    text.encode()
    (sample,) = read(text)["fasttrace_info"].samples
    assert sample.labels == {
        "version": fasttrace.__version__,
        "implementation": fasttrace.implementation()[0],
        "exporter": "",
        "destination": path.encode(errors="replace").decode(),
    }


def test_the_text_can_be_taken_into_a_registry() -> None:
    class Collector:
        def collect(self) -> Iterable[Any]:
            return text_string_to_metric_families(metrics.prometheus_text(accounts.blank()))

    registry = CollectorRegistry()
    registry.register(Collector())  # type: ignore[arg-type]
    assert registry.get_sample_value("fasttrace_spans_dropped_total", {"reason": "spool_full"}) == 0


def test_a_scrape_of_a_wsgi_page_shows_the_process(tmp_path: Any) -> None:
    fasttrace.configure(exporter=SpoolExporter(tmp_path / "spool"))
    fasttrace.get_tracer("test").start_span("operation").end()
    assert fasttrace.flush(20)

    def application(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", metrics.CONTENT_TYPE)])
        return [metrics.prometheus_text().encode()]

    class Quiet(WSGIRequestHandler):
        def log_message(self, *args: Any) -> None:
            pass

    with make_server("127.0.0.1", 0, application, handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{server.server_port}/metrics", timeout=60) as answer:
            families = read(answer.read().decode())
            assert answer.headers["content-type"] == metrics.CONTENT_TYPE
        server.shutdown()
        thread.join()
    assert value(families, "fasttrace_spans_total", state="exported") == 1
    assert families["fasttrace_info"].samples[0].labels["destination"] == str(tmp_path / "spool")
    fasttrace.shutdown()


def test_the_page_of_the_documentation_works() -> None:
    import httpx
    import uvicorn
    from starlette.applications import Starlette

    text = (Path(__file__).parents[1] / "docs" / "observing.md").read_text()
    example = text.partition("```python\nfrom starlette")[2].partition("```")[0]
    before, _, route = ("from starlette" + example).rpartition("\n\n")
    names: dict[str, Any] = {}
    exec(before, names)
    server = uvicorn.Server(
        uvicorn.Config(Starlette(routes=[eval(route, names)]), port=0, lifespan="off", log_level="error")
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + 60
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        answer = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=60, trust_env=False)
    finally:
        server.should_exit = True
        thread.join()
    assert answer.headers["content-type"] == metrics.CONTENT_TYPE
    assert value(read(answer.text), "fasttrace_started_spans_total") >= 0


def test_importing_fasttrace_does_not_import_it() -> None:
    program = "import fasttrace, sys; assert 'fasttrace.metrics' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
