"""OTLP/HTTP against a real receiver, and against one that fails in every way the specification knows."""

from __future__ import annotations

import base64
import gzip
import socket
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from typing import Any
from urllib.parse import quote

import pytest
from chaos import Chaos, answer, drip, hang, raw, reset
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from proxy import Proxy

import fasttrace
from fasttrace.errors import ConfigurationError, ExportError
from fasttrace.export import OTLPExporter, OTLPGrpcExporter, ZipkinExporter, retry

MakeBatch = Callable[..., Any]


def balanced(stats: dict[str, Any]) -> bool:
    parts = ("active", "abandoned", "queued", "held", "spooled", "exported", "sampled_out")
    return bool(stats["started"] == sum(stats[part] for part in parts) + sum(stats["dropped"].values()))


def test_all_spans_arrive_at_a_real_receiver_and_none_twice(receiver: Any) -> None:
    provider = fasttrace.TracerProvider(exporter=OTLPExporter(receiver.endpoint), schedule_delay=0.05)
    tracer = provider.get_tracer("test", "1.0")
    sent: list[str] = []
    lock = threading.Lock()

    def work(worker: int) -> None:
        for number in range(250):
            with tracer.start_as_current_span(f"request {worker}", attributes={"number": number}) as root:
                with tracer.start_as_current_span("child") as child:
                    child.set_attribute("text", "ü" * (number % 90))
            with lock:
                sent.extend((root.span_id_hex, child.span_id_hex))

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    provider.get_tracer("test").start_span("abandoned")
    assert provider.flush(30)
    arrived = receiver.span_ids(len(sent))
    assert len(arrived) == len(set(arrived)) == 2000
    assert set(arrived) == set(sent)
    stats = provider.stats()
    assert (stats["started"], stats["exported"], stats["abandoned"], stats["queued"]) == (2001, 2000, 1, 0)
    assert balanced(stats)
    assert provider.shutdown(60)
    parents = {line[1]: line[2] if line[-1] == "child" else "" for line in receiver.lines}
    children = [parent for parent in parents.values() if parent]
    assert len(children) == 1000
    assert set(children) < set(sent)


def test_a_request_is_what_the_specification_says(chaos: Chaos, make_batch: MakeBatch) -> None:
    OTLPExporter(chaos.endpoint, headers={"X-Tenant": "blue"}).export(make_batch(3))
    ((path, headers, body),) = chaos.requests
    assert path == "/v1/traces"
    assert headers["content-type"] == "application/x-protobuf"
    assert headers["x-tenant"] == "blue"
    assert headers["user-agent"].startswith("fasttrace/")
    assert "content-encoding" not in headers
    (resource_spans,) = ExportTraceServiceRequest.FromString(body).resource_spans
    assert len(resource_spans.scope_spans[0].spans) == 3


def test_gzip(chaos: Chaos, make_batch: MakeBatch) -> None:
    OTLPExporter(chaos.endpoint, compression="gzip").export(make_batch(50))
    ((_, headers, body),) = chaos.requests
    assert headers["content-encoding"] == "gzip"
    assert len(ExportTraceServiceRequest.FromString(gzip.decompress(body)).resource_spans[0].scope_spans[0].spans) == 50


def test_one_connection_serves_all_requests(chaos: Chaos, make_batch: MakeBatch) -> None:
    connections: list[Any] = []
    original = chaos.server.process_request
    chaos.server.process_request = lambda request, address: (connections.append(address), original(request, address))  # type: ignore[method-assign,func-returns-value,assignment]
    exporter = OTLPExporter(chaos.endpoint)
    for _ in range(5):
        exporter.export(make_batch(1))
    assert len(chaos.requests) == 5
    assert len(connections) == 1


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_retryable_answers_are_retried(chaos: Chaos, make_batch: MakeBatch, status: int) -> None:
    chaos.script = [answer(status, Retry_After="0"), answer(status, Retry_After="0"), answer(200)]
    assert not OTLPExporter(chaos.endpoint).export(make_batch(1))
    assert len(chaos.requests) == 3
    assert len({body for _, _, body in chaos.requests}) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 500, 501, 301, 307])
def test_other_answers_are_final(chaos: Chaos, make_batch: MakeBatch, status: int) -> None:
    chaos.script = [answer(status, b"no such thing", Location="http://127.0.0.1:1/elsewhere"), answer(200)]
    with pytest.raises(ExportError, match=f"answered {status}: no such thing"):
        OTLPExporter(chaos.endpoint).export(make_batch(1))
    assert len(chaos.requests) == 1


def test_retry_after_is_waited_for(chaos: Chaos, make_batch: MakeBatch) -> None:
    chaos.script = [answer(429, Retry_After="1"), answer(200)]
    begin = time.monotonic()
    OTLPExporter(chaos.endpoint).export(make_batch(1))
    assert time.monotonic() - begin >= 1


@pytest.mark.parametrize("value", ["0", formatdate(0, usegmt=True)])
def test_a_receiver_that_asks_for_another_try_at_once_gets_it_after_our_own_pause(
    chaos: Chaos, make_batch: MakeBatch, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setattr(retry, "_pause", lambda tries: 1e9)
    chaos.script = [answer(503, Retry_After=value)]
    with pytest.raises(ExportError, match="answered 503"):
        OTLPExporter(chaos.endpoint, timeout=5).export(make_batch(1))
    assert len(chaos.requests) == 1


def test_no_pause_is_shorter_than_our_own(make_batch: MakeBatch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "_pause", lambda tries: 1e9)
    error = ExportError("again", retryable=True)
    error.retry_after = 1e-9
    answers: list[Any] = [error, b"never asked for"]
    with pytest.raises(ExportError, match="again"):
        retry.Retries().until_delivered(lambda: answers.pop(0), make_batch(1), time.monotonic() + 60)


def test_the_backoff_bears_any_number_of_tries_that_were_asked_for_at_once(make_batch: MakeBatch) -> None:
    tries = 0

    def send() -> ExportError:
        nonlocal tries
        tries += 1
        error = ExportError("again", retryable=True)
        error.retry_after = 0.0 if tries < 1500 else None
        return error

    batch = make_batch(1)
    batch.attempt.urgent = lambda: tries == 1500
    with pytest.raises(ExportError, match="again"):
        retry.Retries().until_delivered(send, batch, time.monotonic() + 60)


def test_a_retry_after_beyond_the_timeout_is_not_waited_for(chaos: Chaos, make_batch: MakeBatch) -> None:
    chaos.script = [answer(503, Retry_After=formatdate(time.time() + 3600, usegmt=True))]
    begin = time.monotonic()
    with pytest.raises(ExportError, match="503"):
        OTLPExporter(chaos.endpoint).export(make_batch(1))
    assert time.monotonic() - begin < 5


def test_a_reset_connection_is_tried_again(chaos: Chaos, make_batch: MakeBatch) -> None:
    chaos.script = [reset, answer(200)]
    OTLPExporter(chaos.endpoint).export(make_batch(1))
    assert len(chaos.requests) == 2


def test_the_timeout_is_kept_when_nobody_answers(chaos: Chaos, make_batch: MakeBatch) -> None:
    chaos.script = [hang]
    begin = time.monotonic()
    with pytest.raises(ExportError, match="Timeout"):
        OTLPExporter(chaos.endpoint, timeout=0.3).export(make_batch(1))
    assert 0.3 <= time.monotonic() - begin < 5


def test_the_timeout_is_kept_when_nobody_listens(make_batch: MakeBatch) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{probe.getsockname()[1]}/v1/traces"
        begin = time.monotonic()
        with pytest.raises(ExportError) as caught:
            OTLPExporter(endpoint, timeout=0.5).export(make_batch(1))
        assert time.monotonic() - begin < 5
    assert endpoint in str(caught.value)


def test_partial_success_is_counted_and_not_retried(chaos: Chaos, make_batch: MakeBatch) -> None:
    response = ExportTraceServiceResponse()
    response.partial_success.rejected_spans = 2
    response.partial_success.error_message = "too old"
    chaos.script = [answer(200, response.SerializeToString())]
    assert OTLPExporter(chaos.endpoint).export(make_batch(3)) == 2
    assert len(chaos.requests) == 1


@pytest.mark.parametrize("body", [b"", b"not protobuf", b"\x0a\xff\xff\xff", b"\xff" * 20, b'{"partialSuccess":{}}'])
def test_an_unreadable_success_is_a_success(chaos: Chaos, make_batch: MakeBatch, body: bytes) -> None:
    chaos.script = [answer(200, body)]
    assert not OTLPExporter(chaos.endpoint).export(make_batch(1))


def test_rejections_never_exceed_what_was_sent(chaos: Chaos) -> None:
    response = ExportTraceServiceResponse()
    response.partial_success.rejected_spans = 1_000_000
    chaos.script = [answer(200, response.SerializeToString())]
    provider = fasttrace.TracerProvider(exporter=OTLPExporter(chaos.endpoint))
    provider.get_tracer("test").start_span("operation").end()
    provider.flush(10)
    stats = provider.stats()
    assert (stats["dropped"]["rejected"], stats["exported"]) == (1, 0)
    assert balanced(stats)
    provider.shutdown(1)


def test_a_flood_of_an_answer_is_not_read_to_its_end(chaos: Chaos, make_batch: MakeBatch) -> None:
    chaos.script = [answer(200, b"x" * (6 << 20))]
    with pytest.raises(ExportError, match="more than 4 MiB"):
        OTLPExporter(chaos.endpoint).export(make_batch(1))


def test_shutdown_ends_a_wait_between_tries(chaos: Chaos, make_batch: MakeBatch) -> None:
    chaos.script = [answer(503, Retry_After="5")]
    exporter = OTLPExporter(chaos.endpoint)
    failed: list[BaseException] = []

    def export() -> None:
        try:
            exporter.export(make_batch(1))
        except ExportError as error:
            failed.append(error)

    thread = threading.Thread(target=export)
    begin = time.monotonic()
    thread.start()
    while not chaos.requests:
        time.sleep(0.01)
    exporter.shutdown(1)
    thread.join()
    assert time.monotonic() - begin < 4
    assert len(failed) == 1


def test_the_application_never_waits_for_a_dead_collector(chaos: Chaos) -> None:
    chaos.script = [hang]
    provider = fasttrace.TracerProvider(
        exporter=OTLPExporter(chaos.endpoint, timeout=30), max_queue_spans=100, schedule_delay=0.01
    )
    tracer = provider.get_tracer("test")
    tracer.start_span("first").end()
    while not chaos.requests:
        time.sleep(0.01)
    begin = time.thread_time()
    for _ in range(5000):
        tracer.start_span("operation").end()
    assert time.thread_time() - begin < 10
    stats = provider.stats()
    assert stats["dropped"]["queue_full"] == 4901
    assert stats["queued"] == 100
    assert balanced(stats)
    begin = time.monotonic()
    assert not provider.shutdown(0.2)
    assert time.monotonic() - begin < 5
    chaos.stopping.set()


VARIABLES = {
    "default": ({}, "http://localhost:4318/v1/traces"),
    "general endpoint": ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, "http://collector:4318/v1/traces"),
    "with a path": ({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://c/otlp/"}, "https://c/otlp/v1/traces"),
    "with a query": ({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://c/otlp/?key=a/b"}, "https://c/otlp/v1/traces?key=a/b"),
    "traces' own": (
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://general",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://own/anything",
        },
        "http://own/anything",
    ),
    "empty counts as unset": ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, "http://localhost:4318/v1/traces"),
}


@pytest.mark.parametrize("case", VARIABLES)
def test_endpoint_variables(monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    variables, expected = VARIABLES[case]
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert OTLPExporter().endpoint == expected


def test_header_timeout_and_compression_variables(
    chaos: Chaos, make_batch: MakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", chaos.endpoint)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer%20a%3Db, x-tenant = blue ")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "2500")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    exporter = OTLPExporter()
    exporter.export(make_batch(1))
    ((_, headers, _),) = chaos.requests
    assert headers["authorization"] == "Bearer a=b"
    assert headers["x-tenant"] == "blue"
    assert headers["content-encoding"] == "gzip"
    assert exporter.timeout == 2.5


@pytest.mark.parametrize("value", ["0", "99999999999999999999"])
def test_a_timeout_of_zero_is_no_limit_and_none_is_too_long(
    chaos: Chaos, make_batch: MakeBatch, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    def slowly(handler: Any) -> None:
        time.sleep(0.01)
        answer(200)(handler)

    chaos.script = [slowly]
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", value)
    monkeypatch.setenv("OTEL_EXPORTER_ZIPKIN_TIMEOUT", value)
    for exporter in (
        OTLPExporter(chaos.endpoint),
        OTLPExporter(chaos.endpoint, timeout=0),
        ZipkinExporter(chaos.endpoint),
    ):
        for _ in range(2):
            assert not exporter.export(make_batch(1))
    assert len(chaos.requests) == 6


def test_secrets_are_shown_nowhere(chaos: Chaos, make_batch: MakeBatch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=hunter2,broken-hunter3")
    with pytest.warns(RuntimeWarning) as warned:
        exporter = OTLPExporter(chaos.endpoint)
    chaos.script = [answer(401)]
    with pytest.raises(ExportError) as caught:
        exporter.export(make_batch(1))
    shown = repr(exporter) + str(caught.value) + "".join(str(item.message) for item in warned)
    assert "hunter" not in shown


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"endpoint": "collector:4318"}, "use a URL such as"),
        ({"endpoint": "ftp://collector"}, "use a URL such as"),
        ({"compression": "brotli"}, "use gzip or none"),
        ({"timeout": -1}, "timeout=-1: use a time of 0 or more"),
        ({"certificate": "/nowhere/ca.pem"}, "is not a file"),
    ],
)
def test_bad_arguments_are_told(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        OTLPExporter(**arguments)


@pytest.mark.parametrize("exporter", [OTLPExporter, OTLPGrpcExporter])
def test_a_bad_endpoint_of_a_variable_is_told_by_its_name(monkeypatch: pytest.MonkeyPatch, exporter: Any) -> None:
    if exporter is OTLPGrpcExporter:
        pytest.importorskip("grpc")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "collector")
    with pytest.raises(ConfigurationError, match=r"^OTEL_EXPORTER_OTLP_ENDPOINT='collector': use (?!.*v1/traces)"):
        exporter()
    with pytest.raises(ConfigurationError, match=r"^endpoint='other"):
        exporter("other")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://user:hunter2@collector/v1/traces")
    with pytest.raises(ConfigurationError, match=r"^OTEL_EXPORTER_OTLP_TRACES_ENDPOINT='http://…@collector/v1/traces'"):
        exporter()


@pytest.mark.parametrize(
    ("name", "value"),
    [("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"), ("OTEL_EXPORTER_OTLP_COMPRESSION", "brotli")],
)
def test_bad_variables_of_opentelemetry_warn_and_count_as_unset(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.warns(RuntimeWarning, match=name):
        exporter = OTLPExporter()
    assert (exporter.timeout, exporter.compression) == (10.0, "none")


def test_the_loopback_needs_no_proxy(chaos: Chaos, make_batch: MakeBatch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    OTLPExporter(chaos.endpoint).export(make_batch(1))
    assert len(chaos.requests) == 1


@pytest.mark.parametrize("exporter", [OTLPExporter, ZipkinExporter])
def test_a_proxy_of_the_environment_is_used(
    chaos: Chaos, make_batch: MakeBatch, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, exporter: Any
) -> None:
    """The proxy is the only one that knows the name."""
    monkeypatch.setenv("http_proxy", proxy.url)
    endpoint = chaos.endpoint.replace("127.0.0.1", "collector.test")
    exporter(endpoint).export(make_batch(1))
    assert [head.split()[:2] for head in proxy.asked] == [["POST", endpoint]]
    assert len(chaos.requests) == 1


@pytest.mark.parametrize(
    "endpoint", ["http://user:sec/ret@host/v1", "http://", "https:///v1", "ftp://host", "host:4318"]
)
def test_what_is_no_url_is_refused_and_its_secret_not_shown(endpoint: str) -> None:
    with pytest.raises(ConfigurationError, match="use a URL such as") as refused:
        OTLPExporter(endpoint)
    assert "sec" not in str(refused.value)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("address", ["{closed}", "http://proxy.invalid:3128", "socks5://{closed}", "http://[::1"])
def test_what_a_proxy_that_is_not_there_did_not_take_was_not_sent(
    make_batch: MakeBatch, monkeypatch: pytest.MonkeyPatch, scheme: str, address: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed = f"127.0.0.1:{listener.getsockname()[1]}"
    monkeypatch.setenv(f"{scheme}_proxy", address.format(closed=closed))
    batch = make_batch(1)
    batch.attempt.urgent = lambda: True
    with pytest.raises(ExportError) as caught:
        OTLPExporter(f"{scheme}://collector.invalid:4318/v1/traces").export(batch)
    assert (caught.value.retryable, caught.value.ambiguous) == (True, False)


def test_a_proxy_that_wants_a_password_gets_it_and_nobody_else_sees_it(
    chaos: Chaos, make_batch: MakeBatch, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", proxy.url.replace("http://", "user:hunter%32@"))
    OTLPExporter(chaos.endpoint.replace("127.0.0.1", "collector.test")).export(make_batch(1))
    assert "proxy-authorization: basic " + base64.b64encode(b"user:hunter2").decode().lower() in proxy.asked[0].lower()
    monkeypatch.setenv("http_proxy", "http://user:hunter2@127.0.0.1:9")
    with pytest.raises(ExportError, match="ProxyError") as caught:
        OTLPExporter("http://collector.test:4318/v1/traces", timeout=0.2).export(make_batch(1))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", ["collector.test", ".test", "*"])
def test_no_proxy_is_honoured(
    chaos: Chaos, make_batch: MakeBatch, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("http_proxy", proxy.url)
    monkeypatch.setenv("no_proxy", name)
    with pytest.raises(ExportError, match="NameResolutionError"):
        OTLPExporter(chaos.endpoint.replace("127.0.0.1", "collector.test"), timeout=0.3).export(make_batch(1))
    assert proxy.asked == []


def test_a_redirect_is_reported_and_no_credentials_go_where_it_leads(
    chaos: Chaos, make_batch: MakeBatch, another: Chaos
) -> None:
    chaos.script = [answer(307, Location=another.endpoint)]
    with pytest.raises(ExportError, match="307; it is a redirect, which is not followed: set the endpoint") as caught:
        OTLPExporter(chaos.endpoint, headers={"authorization": "Bearer hunter2"}).export(make_batch(1))
    assert not caught.value.retryable
    assert (len(chaos.requests), another.requests) == (1, [])


@pytest.fixture
def another() -> Iterator[Chaos]:
    server = Chaos()
    yield server
    server.stop()


BROKEN = {
    "no HTTP": raw(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "nothing": raw(b""),
    "half a line": raw(b"HTTP/1.1 20"),
    "cut short": raw(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhalf"),
    "chunks cut short": raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n50\r\nhalf"),
    "no chunks": raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_answer_is_of_unknown_outcome_and_tried_again(
    chaos: Chaos, make_batch: MakeBatch, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "FIRST_BACKOFF_SECONDS", 0.01)
    chaos.script = [BROKEN[case], answer(200)]
    batch = make_batch(3)
    assert not OTLPExporter(chaos.endpoint).export(batch)
    assert (len(chaos.requests), batch.attempt.retried_ambiguous) == (2, 3)


def test_a_success_with_a_body_that_is_no_response_is_a_success(chaos: Chaos, make_batch: MakeBatch) -> None:
    chaos.script = [answer(200, b"<html>welcome</html>")]
    assert not OTLPExporter(chaos.endpoint).export(make_batch(3))
    assert len(chaos.requests) == 1


def test_the_timeout_is_kept_when_an_answer_never_ends(chaos: Chaos, make_batch: MakeBatch) -> None:
    chaos.script = [drip]
    begin = time.monotonic()
    with pytest.raises(ExportError) as caught:
        OTLPExporter(chaos.endpoint, timeout=0.5).export(make_batch(1))
    assert time.monotonic() - begin < 20
    assert caught.value.ambiguous


@pytest.mark.parametrize("value", ["Bearer hunter2\n", "hunter2\r\nx-evil: 1", "hunter2\0", "hunter2€"])
def test_a_header_that_cannot_be_sent_is_told_by_name_only(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="header 'authorization'") as caught:
        OTLPExporter(headers={"Authorization": value})
    assert "hunter2" not in str(caught.value)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"authorization={quote(value)},x-tenant=blue")
    with pytest.warns(RuntimeWarning, match="OTEL_EXPORTER_OTLP_HEADERS") as warned:
        exporter = OTLPExporter()
    assert "hunter2" not in "".join(str(item.message) for item in warned)
    assert "x-tenant: blue" in exporter.destination


def test_an_error_does_not_repeat_the_secret_that_a_receiver_repeats(chaos: Chaos, make_batch: MakeBatch) -> None:
    chaos.script = [answer(403, b"Bearer hunter2 is no key; hunter2 was revoked")]
    with pytest.raises(ExportError, match="403: … is no key; … was revoked"):
        OTLPExporter(chaos.endpoint, headers={"authorization": "Bearer hunter2"}).export(make_batch(1))


@pytest.mark.parametrize("exporter", [OTLPExporter, ZipkinExporter])
def test_credentials_in_the_endpoint_are_refused_without_showing_them(exporter: Any) -> None:
    with pytest.raises(ConfigurationError, match="give credentials as a header") as caught:
        exporter("http://user:hunter2@collector:4318/v1/traces")
    assert "hunter2" not in str(caught.value)


SCRIPT = """
import sys
import fasttrace
assert "threading" not in sys.modules, "then this proves nothing"
fasttrace.configure(service_name="script")
fasttrace.get_tracer("script").start_span("only one").end()
assert fasttrace.flush(60)
"""


def test_a_script_that_imports_nothing_else_ends(chaos: Chaos) -> None:
    """urllib3 brings ``threading``; imported first by the background thread, the end would wait for that for ever."""
    import os
    import subprocess
    import sys

    paths = [path for path in sys.path if path]
    program = f"import sys; sys.path[:0] = {paths!r}\n{SCRIPT}"
    environment = {**os.environ, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": chaos.endpoint}
    subprocess.run([sys.executable, "-S", "-c", program], env=environment, check=True, timeout=60)
    assert len(chaos.requests) == 1


def test_a_receiver_that_echoes_the_credentials_does_not_get_them_into_an_error(
    chaos: Chaos, make_batch: MakeBatch
) -> None:
    def echo(handler: Any) -> None:
        answer(401, f"bad token: {handler.headers['authorization']}".encode())(handler)

    chaos.script = [echo]
    exporter = OTLPExporter(chaos.endpoint + "?key=open", headers={"Authorization": "Bearer sesame-sesame"})
    with pytest.raises(ExportError, match="401") as failed:
        exporter.export(make_batch(1))
    assert "bad token: …" in str(failed.value)
    assert chaos.requests[0][1]["authorization"] == "Bearer sesame-sesame"
    assert not any(secret in f"{failed.value} {exporter!r}" for secret in ("sesame", "open"))


def test_a_probe_is_one_request_without_spans_and_with_the_credentials(chaos: Chaos) -> None:
    chaos.script = [answer(200), answer(503), answer(200, b"<html>welcome</html>")]
    exporter = OTLPExporter(chaos.endpoint, headers={"authorization": "Bearer sesame-sesame"}, compression="gzip")
    exporter.probe(10)
    ((_, headers, body),) = chaos.requests
    assert headers["authorization"] == "Bearer sesame-sesame"
    assert not ExportTraceServiceRequest.FromString(gzip.decompress(body)).resource_spans
    with pytest.raises(ExportError, match="503"):
        exporter.probe(10)
    with pytest.raises(ExportError, match="web page"):
        exporter.probe(10)
    assert len(chaos.requests) == 3


def test_a_probe_without_compression_reaches_a_real_receiver(receiver: Any) -> None:
    OTLPExporter(receiver.endpoint).probe(30)
    assert receiver.lines == []
