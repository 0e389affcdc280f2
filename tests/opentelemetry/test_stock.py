"""Stock processors with stock exporters become native ones, with their settings; whatever was changed stays."""

from __future__ import annotations

import gzip
import http.server
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.exporter.zipkin.encoder import Protocol
from opentelemetry.exporter.zipkin.json import ZipkinExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from fasttrace import export
from fasttrace.opentelemetry import TracerProvider, stock


class Server:
    """An HTTP server on the loopback that keeps what is posted to it."""

    def __init__(self) -> None:
        self.posted: list[tuple[str, dict[str, str], bytes]] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                outer.posted.append((self.path, headers, body))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.base = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def names(self) -> list[str]:
        found = []
        for _, headers, body in self.posted:
            data = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
            for resource in ExportTraceServiceRequest.FromString(data).resource_spans:
                found += [span.name for scope in resource.scope_spans for span in scope.spans]
        return found


@pytest.fixture
def server() -> Iterator[Server]:
    one = Server()
    yield one
    one.server.shutdown()
    one.thread.join()
    one.server.server_close()


@pytest.fixture
def provider(tmp_path: Any) -> Iterator[TracerProvider]:
    one = TracerProvider(undelivered_dir=str(tmp_path))
    yield one
    one.shutdown()


def native(provider: TracerProvider) -> Any:
    return provider.native.exporter


def one_span(provider: TracerProvider, name: str = "span") -> None:
    provider.get_tracer("lib").start_span(name).end()
    assert provider.force_flush(20_000)


def test_a_batch_processor_with_otlp_runs_natively_with_its_settings(
    provider: TracerProvider, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    exporter = OTLPSpanExporter(
        f"{server.base}/custom", headers={"x-tenant": "secret"}, timeout=7, compression=Compression.Gzip
    )
    processor = BatchSpanProcessor(exporter, schedule_delay_millis=2500, max_export_batch_size=99)
    with caplog.at_level(logging.INFO):
        provider.add_span_processor(processor)
    (line,) = caplog.messages
    assert server.base in line
    assert "secret" not in line
    assert isinstance(native(provider), export.OTLPExporter)
    assert (native(provider).timeout, native(provider).compression) == (7.0, "gzip")
    pipeline = provider.native.pipeline
    assert (pipeline.schedule_delay, pipeline.batches.max_spans) == (2.5, 99)
    assert provider.native.recorder.processor is None, "no Python runs per span"
    assert not processor._batch_processor._worker_thread.is_alive()
    one_span(provider)
    ((path, headers, _),) = server.posted
    assert (path, headers["x-tenant"], headers["content-type"]) == ("/custom", "secret", "application/x-protobuf")
    assert server.names() == ["span"]
    assert provider.native.stats()["exporter"] == "OTLPExporter"


def test_what_is_queued_before_goes_to_the_exporter_that_comes(provider: TracerProvider, server: Server) -> None:
    provider.get_tracer("lib").start_span("early").end()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(server.base)))
    one_span(provider, "late")
    assert server.names() == ["early", "late"]
    stats = provider.native.stats()
    assert stats["started"] == stats["exported"] == 2


def test_who_has_the_stock_processor_in_hand_flushes_what_does_its_work(
    provider: TracerProvider, server: Server
) -> None:
    processor = BatchSpanProcessor(OTLPSpanExporter(server.base), schedule_delay_millis=60_000)
    provider.add_span_processor(processor)
    for name, flush in (("first", processor.force_flush), ("second", processor.shutdown)):
        provider.get_tracer("lib").start_span(name).end()
        flush()
        assert server.names()[-1] == name


def test_a_simple_processor_runs_natively_and_at_once(provider: TracerProvider, server: Server) -> None:
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(server.base)))
    assert isinstance(native(provider), export.OTLPExporter)
    assert provider.native.pipeline.schedule_delay <= 0.1
    one_span(provider)
    assert server.names() == ["span"]


def test_the_variables_of_the_exporter_are_those_of_ours(
    provider: TracerProvider, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.base)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=a")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "1234")
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    assert provider.native.pipeline.schedule_delay == 1.234
    one_span(provider)
    ((path, headers, _),) = server.posted
    assert (path, headers["x-tenant"]) == ("/v1/traces", "a")


def test_certificates_are_taken_over(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    files = {name: tmp_path / f"{name}.pem" for name in ("ca", "cert", "key")}
    for file in files.values():
        file.write_text("")
    exporter = OTLPSpanExporter(
        "https://127.0.0.1:1/v1/traces",
        certificate_file=str(files["ca"]),
        client_certificate_file=str(files["cert"]),
        client_key_file=str(files["key"]),
    )
    found: Any = stock.recognise(SimpleSpanProcessor(exporter))
    assert found.exporter._sender._certificates == {
        "ca_certs": str(files["ca"]),
        "cert_file": str(files["cert"]),
        "key_file": str(files["key"]),
    }
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(files["cert"]))
    found = stock.recognise(SimpleSpanProcessor(OTLPSpanExporter("https://127.0.0.1:1/v1/traces")))
    assert found.exporter._sender._certificates == {"ca_certs": str(files["cert"])}, "as requests has it"


def test_zipkins_exporter_runs_natively(provider: TracerProvider, server: Server) -> None:
    provider.add_span_processor(BatchSpanProcessor(ZipkinExporter(endpoint=f"{server.base}/api/v2/spans", timeout=3)))
    assert isinstance(native(provider), export.ZipkinExporter)
    assert native(provider).timeout == 3.0
    one_span(provider)
    ((path, _, body),) = server.posted
    assert path == "/api/v2/spans"
    assert b'"name":"span"' in body


def test_grpc_runs_natively() -> None:
    pytest.importorskip("grpc")
    exporter_module = pytest.importorskip("opentelemetry.exporter.otlp.proto.grpc.trace_exporter")
    import grpc
    from export.collector import Collector

    collector = Collector()
    provider = TracerProvider(undelivered_dir="none")
    exporter = exporter_module.OTLPSpanExporter(
        collector.endpoint, headers={"x-tenant": "a"}, timeout=5, compression=grpc.Compression.Gzip
    )
    provider.add_span_processor(BatchSpanProcessor(exporter))
    assert isinstance(native(provider), export.OTLPGrpcExporter)
    assert (native(provider).timeout, native(provider).compression) == (5.0, "gzip")
    one_span(provider)
    assert [span.name for span in collector.spans()] == ["span"]
    assert collector.metadata[0]["x-tenant"] == "a"
    exporter.shutdown()
    provider.shutdown()
    collector.stop()


def test_grpc_with_tls_keeps_its_credentials() -> None:
    grpc, trustme = pytest.importorskip("grpc"), pytest.importorskip("trustme")
    exporter_module = pytest.importorskip("opentelemetry.exporter.otlp.proto.grpc.trace_exporter")
    from export.collector import Collector

    authority = trustme.CA()
    server = authority.issue_cert("127.0.0.1")
    pair = (server.private_key_pem.bytes(), server.cert_chain_pems[0].bytes())
    collector = Collector(credentials=grpc.ssl_server_credentials([pair]))
    provider = TracerProvider(undelivered_dir="none")
    trusting = grpc.ssl_channel_credentials(authority.cert_pem.bytes())
    exporter = exporter_module.OTLPSpanExporter(collector.endpoint, credentials=trusting)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    assert isinstance(native(provider), export.OTLPGrpcExporter)
    assert native(provider).destination is None, "nothing waits on disk for somebody unknown"
    one_span(provider)
    assert [span.name for span in collector.spans()] == ["span"]
    exporter.shutdown()
    provider.shutdown()
    collector.stop()


class OwnExporter(OTLPSpanExporter):
    pass


class OwnProcessor(BatchSpanProcessor):
    pass


def _patched() -> OTLPSpanExporter:
    exporter = OTLPSpanExporter()
    exporter.export = lambda spans: None  # type: ignore[method-assign]
    return exporter


def _session(**fields: Any) -> requests.Session:
    session = requests.Session()
    for name, value in fields.items():
        setattr(session, name, value)
    return session


class Auth(requests.auth.AuthBase):
    pass


@pytest.mark.parametrize(
    "make",
    [
        InMemorySpanExporter,
        ConsoleSpanExporter,
        OwnExporter,
        _patched,
        lambda: OTLPSpanExporter(compression=Compression.Deflate),
        lambda: OTLPSpanExporter(session=_session(auth=Auth())),
        lambda: OTLPSpanExporter(session=_session(proxies={"http": "http://127.0.0.1:1"})),
        lambda: OTLPSpanExporter(session=_session(headers={"x-own": "1"})),
        lambda: OTLPSpanExporter(session=type("Own", (requests.Session,), {})()),
        lambda: ZipkinExporter(version=Protocol.V1),
        lambda: ZipkinExporter(local_node_port=80),
        lambda: ZipkinExporter(max_tag_value_length=5),
        lambda: OTLPSpanExporter("no url"),
    ],
)
def test_what_was_changed_stays_a_processor(make: Callable[[], Any], provider: TracerProvider) -> None:
    processor = SimpleSpanProcessor(make())
    provider.add_span_processor(processor)
    assert provider.native.recorder.processor is not None
    assert provider._processors is not None
    assert provider._processors.members == [processor]


def test_a_subclass_of_a_processor_stays_one(provider: TracerProvider) -> None:
    processor = OwnProcessor(OTLPSpanExporter("http://127.0.0.1:1"))
    assert stock.recognise(processor) is None
    processor._batch_processor.shutdown(0)


def test_a_processor_that_is_in_use_stays_one() -> None:
    processor = BatchSpanProcessor(OTLPSpanExporter("http://127.0.0.1:1"))
    processor.shutdown()
    assert stock.recognise(processor) is None


def test_an_exporter_that_was_asked_for_stays_and_a_stock_one_is_added(server: Server, make_traced: Any) -> None:
    traced = make_traced()
    traced.provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(server.base)))
    assert list(one_of(traced)) == ["span"]
    assert server.names() == ["span"]


def one_of(traced: Any) -> Any:
    traced.tracer.start_span("span").end()
    return traced.spans()


def test_two_destinations_get_all_spans_and_one_destination_none_twice(
    provider: TracerProvider, server: Server
) -> None:
    other = Server()
    for base in (server.base, other.base, server.base):
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(base)))
    one_span(provider)
    assert (server.names(), other.names()) == (["span"], ["span"])
    other.server.shutdown()
    other.thread.join()
    other.server.server_close()


def test_user_processors_come_before_the_native_exporter(provider: TracerProvider, server: Server) -> None:
    class Naming(SpanProcessor):
        def _on_ending(self, span: Any) -> None:
            span.update_name("named")

    provider.add_span_processor(Naming())
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(server.base)))
    one_span(provider)
    assert server.names() == ["named"]
