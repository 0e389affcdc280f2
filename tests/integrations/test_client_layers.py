"""Clients that stand on one another make one span for one request; our own exporters' requests make none."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import httpx
import origin
import pytest
import urllib3
from callers import AsyncHttpx, Caller, Httpx, Requests, Urllib3, UrllibRequest
from loopback import Spans, serving

import fasttrace
from fasttrace._core.types import StatusCode
from fasttrace.export import MemoryExporter, OTLPExporter, ZipkinExporter
from fasttrace.export.base import Batch
from fasttrace.integrations import _layers, http_client
from fasttrace.integrations import httpx as traced_httpx
from fasttrace.integrations import urllib3 as traced_urllib3
from fasttrace.integrations.httpx import AsyncTracingTransport, TracingTransport


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(origin.APP) as base:
        yield base


@contextmanager
def all_traced(**options: Any) -> Iterator[None]:
    requests = Requests().module
    modules = [requests, traced_urllib3, traced_httpx, http_client]
    with ExitStack() as stack:
        for module in modules:
            module.instrument(**options)
            stack.callback(module.uninstrument)
        yield
    assert _layers.opened == {}


@pytest.mark.parametrize("kind", [Requests, Urllib3, UrllibRequest, Httpx, AsyncHttpx], ids=lambda kind: kind.name)
def test_one_request_is_one_span_of_the_client_that_was_called(spans: Spans, url: str, kind: type[Caller]) -> None:
    caller = kind()
    with all_traced():
        body = caller.get(f"{url}/echo")[1]
        (span,) = spans()
        assert span.scope.name == f"fasttrace.integrations.{caller.name.replace('.', '_').removesuffix('-async')}"
        assert json.loads(body)["contexts"] == [f"00-{span.trace_id}-{span.span_id}-03"]
        caller.get(f"{url}/redirect")
        assert [data.attributes.get("http.request.resend_count") for data in spans()] == [None, None, 1]


def test_requests_below_an_unsampled_span_carry_one_header(url: str) -> None:
    caller = Requests()
    fasttrace.configure(service_name="tests", exporter="none", sampler="always_off")
    try:
        with all_traced():
            for _ in range(2):
                (sent,) = json.loads(caller.get(f"{url}/echo")[1])["contexts"]
                assert sent.endswith(("-00", "-02"))
            with fasttrace.get_tracer("tests").start_as_current_span("outer") as outer:
                (sent,) = json.loads(caller.get(f"{url}/echo")[1])["contexts"]
                assert sent[3:35] == outer.trace_id_hex
    finally:
        fasttrace.shutdown(timeout=5)


def test_what_is_skipped_above_is_left_alone_below(spans: Spans, url: str) -> None:
    caller = Requests()
    with ExitStack() as stack:
        for module in (traced_urllib3, http_client):
            module.instrument()
            stack.callback(module.uninstrument)
        with caller.traced(skip=[url]), fasttrace.get_tracer("tests").start_as_current_span("outer") as outer:
            assert json.loads(caller.get(f"{url}/echo")[1])["contexts"] == []
            assert fasttrace.current_span() is outer
    assert [span.name for span in spans()] == ["outer"]
    assert _layers.opened == {}


def retrying(name: str, url: str) -> str:
    """Two failures and a success by requests, with urllib3's own retries."""
    library = pytest.importorskip("requests")
    with library.Session() as session:
        session.trust_env = False
        retries = urllib3.Retry(total=5, status_forcelist=[503], backoff_factor=0)
        session.mount("http://", library.adapters.HTTPAdapter(max_retries=retries))
        response = session.get(f"{url}/flaky/{name}?failures=2")
    assert response.status_code == 200
    context: str = response.json()["contexts"][0]
    return context


def test_retries_below_are_spans_inside_the_one_above(spans: Spans, url: str) -> None:
    with all_traced():
        context = retrying("below", url)
    above, second, third = spans()
    assert {second.parent_span_id, third.parent_span_id} == {above.span_id}
    assert [span.attributes.get("http.request.resend_count") for span in (above, second, third)] == [None, 1, 2]
    assert [span.attributes["http.response.status_code"] for span in (above, second, third)] == [200, 503, 200]
    assert [span.status.status_code for span in (above, second)] == [StatusCode.UNSET, StatusCode.ERROR]
    assert context == f"00-{third.trace_id}-{third.span_id}-03"
    assert [(event.name, event.attributes) for event in above.events] == [
        ("http.resend", {"http.request.resend_count": 1, "http.response.status_code": 503}),
        ("http.resend", {"http.request.resend_count": 2, "http.response.status_code": 503}),
    ]


def test_retries_that_nobody_below_sees_are_counted(spans: Spans, url: str) -> None:
    with Requests().traced():
        retrying("counted", url)
    (span,) = spans()
    assert (span.attributes["http.request.resend_count"], span.events) == (2, [])


def test_retries_below_are_seen_by_http_client_alone_too(spans: Spans, url: str) -> None:
    with Requests().traced():
        http_client.instrument()
        try:
            retrying("wire", url)
        finally:
            http_client.uninstrument()
    assert [span.attributes.get("http.request.resend_count") for span in spans()] == [None, 1, 2]


def test_transport_that_retries_shows_what_it_sends_again(spans: Spans, url: str) -> None:
    class Retrying(httpx.HTTPTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            while (response := super().handle_request(request)).status_code == 503:
                response.close()
            return response

    with all_traced(), httpx.Client(transport=TracingTransport(Retrying())) as client:
        assert client.get(f"{url}/flaky/transport?failures=1").status_code == 200
        above, again = spans()
        assert again.parent_span_id == above.span_id
        assert again.attributes["http.request.resend_count"] == 1
    with all_traced(), httpx.Client(transport=Retrying()) as client:
        assert client.get(f"{url}/flaky/alone?failures=1").status_code == 200
        assert [span.attributes.get("http.request.resend_count") for span in spans()[2:]] == [None, 1]


def test_request_made_while_a_body_is_sent_is_one_of_its_own(spans: Spans, url: str) -> None:
    library = pytest.importorskip("requests")
    with all_traced(), library.Session() as session:
        session.trust_env = False

        def body() -> Iterator[bytes]:
            yield session.get(f"{url}/echo").text[:1].encode()

        assert session.post(f"{url}/echo", data=body()).json()["body"] == "{"
    above, inside = spans()
    assert (above.name, inside.name, inside.parent_span_id) == ("POST", "GET", above.span_id)
    assert "http.request.resend_count" not in inside.attributes


def test_work_that_outlives_the_request_it_began_in_is_traced(spans: Spans, url: str) -> None:
    import asyncio

    async def call() -> None:
        ended, tasks = asyncio.Event(), []

        class Starting(httpx.AsyncHTTPTransport):
            async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
                async def later() -> None:
                    await ended.wait()
                    await asyncio.to_thread(Urllib3().get, f"{url}/status/200")

                tasks.append(asyncio.create_task(later()))
                return await super().handle_async_request(request)

        async with httpx.AsyncClient(transport=AsyncTracingTransport(Starting())) as client:
            await client.get(f"{url}/echo")
        ended.set()
        await tasks[0]

    with all_traced():
        asyncio.run(call())
    first, later = spans()
    assert later.parent_span_id == first.span_id


@pytest.mark.parametrize("response", [None, object(), SimpleNamespace(status_code="200", headers={}, extensions={})])
def test_what_stands_in_for_a_response_passes_unchanged(spans: Spans, response: Any) -> None:
    class Standing(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> Any:
            return response

    traced = TracingTransport(Standing(), capture_headers=["x"], trace_response=True)
    assert traced.handle_request(httpx.Request("GET", "http://127.0.0.1/")) is response
    assert len(spans()) == 1


class Collector(BaseHTTPRequestHandler):
    """Takes what exporters send and remembers the headers."""

    protocol_version = "HTTP/1.1"
    seen: list[dict[str, str]] = []

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.seen.append({name.lower(): value for name, value in self.headers.items()})
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[str]:
    Collector.seen.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join(10)
    server.server_close()


EXPORTERS: list[Callable[[str], Any]] = [
    lambda base: OTLPExporter(f"{base}/v1/traces"),
    lambda base: ZipkinExporter(f"{base}/api/v2/spans"),
]


@pytest.mark.parametrize("make", EXPORTERS, ids=["otlp", "zipkin"])
def test_requests_of_our_exporters_are_neither_traced_nor_sent_headers(
    url: str, collector: str, make: Callable[[str], Any]
) -> None:
    with all_traced():
        fasttrace.configure(service_name="tests", exporter=make(collector))
        try:
            for _ in range(2):
                Requests().get(f"{url}/echo")
                with fasttrace.get_tracer("tests").start_as_current_span("around the flush"):
                    assert fasttrace.flush(60)
            assert fasttrace.flush(60)
            assert fasttrace.stats()["started"] == fasttrace.stats()["exported"] == 4
        finally:
            fasttrace.shutdown(timeout=10)
    assert len(Collector.seen) >= 2
    assert not any("traceparent" in headers or "baggage" in headers for headers in Collector.seen)


def test_an_exporter_that_an_application_calls_makes_one_span_at_most_for_a_request(
    spans: Spans, collector: str
) -> None:
    exporter = OTLPExporter(f"{collector}/v1/traces")
    with all_traced():
        for _ in range(3):
            exporter.export(Batch(b""))
        exporter.shutdown(1)
        assert [len(Collector.seen), len(spans())] == [3, 1]


def test_nor_are_those_of_an_exporter_that_traces_what_it_does(collector: str) -> None:
    class Own:
        def export(self, batch: Any) -> None:
            with fasttrace.get_tracer("tests").start_as_current_span("export"):
                httpx.post(f"{collector}/v1/traces", content=batch.otlp)

        def flush(self, timeout: float) -> bool:
            return True

        def shutdown(self, timeout: float) -> None:
            pass

    with all_traced():
        fasttrace.configure(service_name="tests", exporter=Own(), sampler="always_on")
        try:
            fasttrace.get_tracer("tests").start_span("operation").end()
            assert fasttrace.flush(60)
            assert fasttrace.stats()["exported"] == 1
        finally:
            fasttrace.shutdown(timeout=10)
    assert [("traceparent" in headers) for headers in Collector.seen] == [False]


def test_requests_of_opentelemetry_s_own_exporters_are_left_alone(url: str) -> None:
    from opentelemetry import context

    from fasttrace.opentelemetry import TracerProvider

    exporter = MemoryExporter()
    provider = TracerProvider(exporter=exporter)
    traced = TracingTransport(httpx.HTTPTransport(), tracer=provider.native.get_tracer("tests"))
    with httpx.Client(transport=traced) as client:
        token = context.attach(context.set_value(context._SUPPRESS_INSTRUMENTATION_KEY, True))
        try:
            assert client.get(f"{url}/echo").json()["contexts"] == []
        finally:
            context.detach(token)
        assert len(client.get(f"{url}/echo").json()["contexts"]) == 1
    provider.shutdown()
    assert len(exporter.spans) == 1
