"""OTLP/gRPC against real grpcio servers that decode with the official classes, and fail in every way that there is."""

from __future__ import annotations

import gc
import itertools
import logging
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest
from collector import SERVICE, Collector, fail, hang, retry_info, take
from google.rpc.error_details_pb2 import RetryInfo
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from proxy import Proxy

import fasttrace
from fasttrace import _log, config, delivery
from fasttrace.errors import ConfigurationError, ExportError
from fasttrace.export import OTLPExporter, OTLPGrpcExporter, create, otlp_response, retry

MakeBatch = Callable[..., Any]
MakeExporter = Callable[..., OTLPGrpcExporter]
Code = grpc.StatusCode
PARTS = ("active", "abandoned", "queued", "held", "spooled", "exported", "sampled_out")


def balanced(stats: dict[str, Any]) -> bool:
    return bool(stats["started"] == sum(stats[part] for part in PARTS) + sum(stats["dropped"].values()))


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.005)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tried again is tried at once."""
    monkeypatch.setattr(retry, "FIRST_BACKOFF_SECONDS", 0.01)
    monkeypatch.setattr(retry, "LONGEST_BACKOFF_SECONDS", 0.05)
    monkeypatch.setattr(delivery, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(delivery, "LONGEST_PAUSE_SECONDS", 0.05)


@pytest.fixture
def collector() -> Iterator[Collector]:
    server = Collector()
    yield server
    server.stop()


@pytest.fixture
def make_exporter() -> Iterator[MakeExporter]:
    made: list[OTLPGrpcExporter] = []

    def make(endpoint: str, **options: Any) -> OTLPGrpcExporter:
        made.append(OTLPGrpcExporter(endpoint, **options))
        return made[-1]

    yield make
    for exporter in made:
        exporter.shutdown(1)


def test_all_spans_arrive_and_none_twice(collector: Collector, make_exporter: MakeExporter) -> None:
    provider = fasttrace.TracerProvider(
        exporter=make_exporter(collector.endpoint), service_name="shop", schedule_delay=0.05
    )
    tracer = provider.get_tracer("test", "1.0")

    def work(worker: int) -> None:
        for number in range(500):
            with tracer.start_as_current_span(f"request {worker}", attributes={"number": number}):
                with tracer.start_as_current_span("child") as child:
                    child.set_attribute("text", "ü" * (number % 90))

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert provider.flush(30)
    spans = collector.spans()
    roots = {span.span_id for span in spans if not span.parent_span_id}
    assert len(spans) == len({span.span_id for span in spans}) == 4000
    assert {span.parent_span_id for span in spans if span.parent_span_id} == roots
    assert len(roots) == 2000
    stats = provider.stats()
    assert (stats["started"], stats["exported"], stats["retried_ambiguous"]) == (4000, 4000, 0)
    assert balanced(stats)
    assert len(set(collector.peers)) == 1, "one connection serves all requests"
    assert provider.shutdown(60)


def test_a_request_is_what_the_specification_says(
    collector: Collector, make_exporter: MakeExporter, make_batch: MakeBatch
) -> None:
    headers = {"X-Tenant": "blue", "key-bin": "green"}
    assert not make_exporter(collector.endpoint, headers=headers).export(make_batch(3))
    (metadata,) = collector.metadata
    assert metadata["x-tenant"] == "blue"
    assert metadata["key-bin"] == b"green"
    assert str(metadata["user-agent"]).startswith("fasttrace/")
    assert [span.name for span in collector.spans()] == ["operation"] * 3


def test_gzip(
    collector: Collector,
    make_exporter: MakeExporter,
    make_batch: MakeBatch,
    proxy: Proxy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """grpcio does not tell a server what was compressed: the bytes that pass a proxy do."""
    monkeypatch.setenv("http_proxy", proxy.url)
    batch = make_batch(1000, "a name that is long and always the same " * 3)
    sizes = []
    for compression in ("none", "gzip"):
        proxy.sent_bytes = 0
        make_exporter(f"http://collector.test:{collector.port}", compression=compression).export(batch)
        sizes.append(proxy.sent_bytes)
    assert len(collector.spans()) == 2000
    assert sizes[0] > len(batch.otlp) > 4 * sizes[1]


def test_a_proxy_of_the_environment_is_used_but_not_for_the_loopback(
    collector: Collector,
    make_exporter: MakeExporter,
    make_batch: MakeBatch,
    proxy: Proxy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("http_proxy", proxy.url)
    port = collector.port
    for endpoint in (collector.endpoint, f"dns:localhost:{port}", f"dns:///localhost:{port}", f"ipv4:127.0.0.1:{port}"):
        make_exporter(endpoint, insecure=True).export(make_batch(1))
        assert proxy.asked == []
    make_exporter(f"http://collector.test:{collector.port}").export(make_batch(1))
    assert [head.split()[:2] for head in proxy.asked] == [["CONNECT", f"collector.test:{collector.port}"]]
    monkeypatch.setenv("no_proxy", ".test")
    with pytest.raises(ExportError):
        make_exporter(f"http://collector.test:{collector.port}", timeout=1).export(make_batch(1))
    assert len(proxy.asked) == 1


@pytest.mark.parametrize(
    "code", ["CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"]
)
def test_retryable_codes_are_retried(
    collector: Collector, make_exporter: MakeExporter, make_batch: MakeBatch, code: str
) -> None:
    collector.script = [fail(Code[code]), fail(Code[code]), take]
    batch = make_batch(3)
    assert not make_exporter(collector.endpoint).export(batch)
    assert len(collector.requests) == 3
    assert len(collector.spans()) == 3
    # What the server itself says it did not do has not arrived; of the others nobody knows.
    assert batch.attempt.retried_ambiguous == (0 if code in ("ABORTED", "OUT_OF_RANGE") else 6)


@pytest.mark.parametrize(
    "code",
    [
        "UNKNOWN", "INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "UNAUTHENTICATED",
        "FAILED_PRECONDITION", "UNIMPLEMENTED", "INTERNAL", "RESOURCE_EXHAUSTED",
    ],
)  # fmt: skip
def test_other_codes_are_final(
    collector: Collector, make_exporter: MakeExporter, make_batch: MakeBatch, code: str
) -> None:
    details = retry_info(Code[code], 0.0) if code != "RESOURCE_EXHAUSTED" else None
    collector.script = [fail(Code[code], "no such thing", details), take]
    with pytest.raises(ExportError, match=f"{code}: no such thing") as caught:
        make_exporter(collector.endpoint).export(make_batch(3))
    assert (caught.value.retryable, caught.value.too_large) == (False, False)
    assert len(collector.requests) == 1


@pytest.mark.parametrize("code", ["RESOURCE_EXHAUSTED", "UNAVAILABLE"])
@pytest.mark.parametrize("seconds", [1.0, 0.0, None])
def test_a_server_that_throttles_is_given_the_time_it_asks_for(
    collector: Collector, make_exporter: MakeExporter, make_batch: MakeBatch, code: str, seconds: float | None
) -> None:
    collector.script = [fail(Code[code], "slow down", retry_info(Code[code], seconds)), take]
    batch = make_batch(1)
    begin = time.monotonic()
    make_exporter(collector.endpoint).export(batch)
    assert time.monotonic() - begin >= (seconds or 0.0)
    assert (len(collector.requests), batch.attempt.retried_ambiguous) == (2, 0)


def test_a_delay_beyond_the_timeout_is_not_waited_for_but_remembered(
    collector: Collector, make_exporter: MakeExporter, make_batch: MakeBatch
) -> None:
    collector.script = [fail(Code.UNAVAILABLE, "", retry_info(Code.UNAVAILABLE, 3600.25))]
    begin = time.monotonic()
    with pytest.raises(ExportError) as caught:
        make_exporter(collector.endpoint).export(make_batch(1))
    assert time.monotonic() - begin < 9
    assert (caught.value.retryable, caught.value.retry_after) == (True, 3600.25)


@given(st.integers(0, 10**9), st.integers(0, 10**9 - 1))
def test_a_delay_is_read_as_the_official_classes_write_it(seconds: int, nanos: int) -> None:
    info = RetryInfo()
    info.retry_delay.seconds, info.retry_delay.nanos = seconds, nanos
    status = retry_info(Code.UNAVAILABLE, seconds + nanos / 10**9)
    assert otlp_response.retry_delay(status) == pytest.approx(seconds + nanos / 10**9)


@given(st.binary(max_size=100))
def test_noise_is_no_delay(data: bytes) -> None:
    assert otlp_response.retry_delay(data) is None or b"RetryInfo" in data
    whole = retry_info(Code.UNAVAILABLE, 1.0)
    delay = otlp_response.retry_delay(whole[: len(data)])
    assert delay is None or len(data) >= len(whole)


def test_a_negative_delay_is_none() -> None:
    assert otlp_response.retry_delay(retry_info(Code.UNAVAILABLE, -5.0)) == 0.0


def test_what_is_larger_than_the_servers_limit_is_halved_and_the_size_remembered(
    make_exporter: MakeExporter, make_batch: MakeBatch
) -> None:
    server = Collector(options=[("grpc.max_receive_message_length", 3000)])
    exporter = make_exporter(server.endpoint)
    assert not exporter.export(make_batch(100))
    assert sorted(span.attributes[0].value.int_value for span in server.spans()) == list(range(100))
    learnt = exporter._parts.max_bytes
    assert learnt is not None
    server.requests.clear()
    assert not exporter.export(make_batch(100))
    assert exporter._parts.max_bytes == learnt, "what it takes is known by now"
    assert len(server.spans()) == 200
    server.stop()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (Code.RESOURCE_EXHAUSTED, "grpc: received message larger than max (5 vs. 4)"),
        (Code.RESOURCE_EXHAUSTED, "gRPC message exceeds maximum size 4: 5"),
        (Code.OUT_OF_RANGE, "Error, decoded message length too large: found 5 bytes, the limit is: 4 bytes"),
    ],
)
def test_refusals_by_size_of_other_servers_are_known(
    collector: Collector, make_exporter: MakeExporter, make_batch: MakeBatch, code: Code, words: str
) -> None:
    collector.script = [fail(code, words), take]
    assert not make_exporter(collector.endpoint).export(make_batch(10))
    assert [len(request.resource_spans[0].scope_spans[0].spans) for request in collector.requests] == [10, 5, 5]


def test_a_large_body_out_of_range_is_a_refusal_by_size(
    collector: Collector, make_exporter: MakeExporter, make_batch: MakeBatch
) -> None:
    collector.script = [fail(Code.OUT_OF_RANGE), take]
    assert not make_exporter(collector.endpoint).export(make_batch(4000, "n" * 100))
    assert [len(request.resource_spans[0].scope_spans[0].spans) for request in collector.requests] == [4000, 2000, 2000]


def test_an_answer_that_is_too_large_is_no_refusal_of_the_request(
    collector: Collector, make_exporter: MakeExporter, make_batch: MakeBatch
) -> None:
    def chatter(collector: Collector, context: Any) -> ExportTraceServiceResponse:
        response = ExportTraceServiceResponse()
        response.partial_success.error_message = "x" * 5_000_000
        return response

    collector.script = [chatter]
    with pytest.raises(ExportError, match="answered with more than 4 MiB") as caught:
        make_exporter(collector.endpoint).export(make_batch(10))
    assert (caught.value.too_large, caught.value.retryable) == (False, False)
    assert len(collector.requests) == 1


def test_a_receiver_that_has_more_to_say_does_not_fill_the_memory(
    make_exporter: MakeExporter, make_batch: MakeBatch
) -> None:
    piece = b"x" * (1 << 20)

    def chatter(request: bytes, context: Any) -> Iterator[bytes]:
        response = ExportTraceServiceResponse()
        response.partial_success.rejected_spans = 2
        yield response.SerializeToString()
        yield from itertools.repeat(piece, 64)

    server = grpc.server(futures.ThreadPoolExecutor(1))
    handler = grpc.unary_stream_rpc_method_handler(chatter)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Export": handler}),))
    exporter = make_exporter(f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}", timeout=60)
    batch = make_batch(3)
    server.start()
    tracemalloc.start()
    try:
        assert exporter.export(batch) == 2
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()
        server.stop(0).wait()


def test_partial_success_is_counted_and_not_retried(
    collector: Collector, make_exporter: MakeExporter, caplog: pytest.LogCaptureFixture
) -> None:
    _log._last.clear()

    def partly(collector: Collector, context: Any) -> ExportTraceServiceResponse:
        response = ExportTraceServiceResponse()
        response.partial_success.rejected_spans = 2
        response.partial_success.error_message = "names too long, said hunter2-token"
        return response

    collector.script = [partly]
    exporter = make_exporter(collector.endpoint, headers={"authorization": "Bearer hunter2-token"})
    provider = fasttrace.TracerProvider(exporter=exporter, schedule_delay=60)
    for _ in range(5):
        provider.get_tracer("test").start_span("operation").end()
    assert provider.flush(20) is False
    stats = provider.stats()
    assert (stats["exported"], stats["dropped"]["rejected"], len(collector.requests)) == (3, 2, 1)
    assert balanced(stats)
    assert "rejected 2 spans: names too long" in caplog.text
    assert "hunter2" not in caplog.text
    provider.shutdown(1)


def test_the_timeout_is_kept_when_nobody_answers(
    collector: Collector, make_exporter: MakeExporter, make_batch: MakeBatch
) -> None:
    collector.script = [hang]
    begin = time.monotonic()
    with pytest.raises(ExportError, match="DEADLINE_EXCEEDED") as caught:
        make_exporter(collector.endpoint, timeout=0.3).export(make_batch(1))
    assert time.monotonic() - begin < 9
    assert (caught.value.retryable, caught.value.ambiguous) == (True, True)


def test_shutdown_ends_a_request_that_hangs(collector: Collector, make_exporter: MakeExporter, tmp_path: Path) -> None:
    ended = threading.Event()

    def watched(collector: Collector, context: Any) -> ExportTraceServiceResponse:
        context.add_callback(ended.set)
        return hang(collector, context)

    collector.script = [watched]
    provider = fasttrace.TracerProvider(
        exporter=make_exporter(collector.endpoint, timeout=60), schedule_delay=0.02, undelivered_dir=str(tmp_path)
    )
    provider.get_tracer("test").start_span("in flight").end()
    until(lambda: collector.requests)
    for _ in range(1000):
        provider.get_tracer("test").start_span("waiting").end()
    begin = time.monotonic()
    assert provider.shutdown(0.5) is False
    assert time.monotonic() - begin < 10
    assert ended.wait(60)
    stats = provider.stats()
    assert (stats["spooled"], stats["queued"], stats["retried_ambiguous"]) == (1001, 0, 1)
    assert balanced(stats)


def test_shutdown_ends_a_wait_between_two_tries(
    collector: Collector, make_exporter: MakeExporter, make_batch: MakeBatch
) -> None:
    collector.script = [fail(Code.UNAVAILABLE, "", retry_info(Code.UNAVAILABLE, 50))]
    exporter = make_exporter(collector.endpoint, timeout=60)
    failed: list[ExportError] = []

    def export() -> None:
        try:
            exporter.export(make_batch(1))
        except ExportError as error:
            failed.append(error)

    thread = threading.Thread(target=export)
    thread.start()
    until(lambda: collector.requests)
    exporter.shutdown(1)
    thread.join(30)
    assert len(failed) == 1
    with pytest.raises(ExportError, match="shut down"):
        exporter.export(make_batch(1))


def test_a_server_that_goes_away_and_comes_back_gets_everything_once(
    make_exporter: MakeExporter, tmp_path: Path
) -> None:
    first = Collector()
    provider = fasttrace.TracerProvider(
        exporter=make_exporter(first.endpoint, timeout=0.5), schedule_delay=0.02, undelivered_dir=str(tmp_path)
    )
    tracer = provider.get_tracer("test")
    tracer.start_span("before").end()
    assert provider.flush(20)
    first.stop()
    for number in range(300):
        tracer.start_span(f"away {number}").end()
    until(lambda: provider.stats()["spooled"] == 300)
    stats = provider.stats()
    assert (stats["exported"], stats["away"], sum(stats["dropped"].values())) == (1, True, 0)
    second = Collector(first.port)
    until(lambda: provider.stats()["spooled"] == 0)
    tracer.start_span("after").end()
    assert provider.flush(20)
    names = [span.name for span in first.spans() + second.spans()]
    assert sorted(names) == sorted(["before", "after", *(f"away {number}" for number in range(300))])
    assert balanced(provider.stats())
    provider.shutdown(5)
    second.stop()


def test_a_refused_connection_is_not_ambiguous(make_exporter: MakeExporter, make_batch: MakeBatch) -> None:
    server = Collector()
    server.stop()
    batch = make_batch(3)
    looks = itertools.count()
    batch.attempt.urgent = lambda: next(looks) > 3  # a few tries: a deadline could cut the last one short
    with pytest.raises(ExportError, match="UNAVAILABLE") as caught:
        make_exporter(server.endpoint, timeout=60).export(batch)
    assert (caught.value.retryable, caught.value.ambiguous, batch.attempt.retried_ambiguous) == (True, False, 0)


def test_a_call_that_failed_is_freed_at_once_and_not_by_a_collection_in_a_forked_child(
    make_exporter: MakeExporter, make_batch: MakeBatch
) -> None:
    server = Collector()
    server.stop()
    batch = make_batch(1)
    batch.attempt.urgent = lambda: True  # one try
    gc.collect()
    gc.disable()
    try:
        with pytest.raises(ExportError, match="UNAVAILABLE"):
            make_exporter(server.endpoint, timeout=60).export(batch)
        assert not [found for found in gc.get_objects() if isinstance(found, grpc.RpcError)]
    finally:
        gc.enable()


def test_a_name_that_nobody_knows_is_not_ambiguous(make_exporter: MakeExporter, make_batch: MakeBatch) -> None:
    batch = make_batch(1)
    batch.attempt.urgent = lambda: True  # one try
    with pytest.raises(ExportError, match="UNAVAILABLE") as caught:
        make_exporter("http://collector.invalid:4317", timeout=30).export(batch)
    assert (caught.value.retryable, caught.value.ambiguous) == (True, False)


def test_a_server_that_is_killed_with_the_request_is_ambiguous(
    make_exporter: MakeExporter, make_batch: MakeBatch
) -> None:
    command = [sys.executable, "-u", str(Path(__file__).with_name("collector.py"))]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    exporter = make_exporter(server.stdout.readline().strip(), timeout=3)
    killer = threading.Thread(target=lambda: (server.stdout.readline(), server.kill()))  # type: ignore[union-attr]
    killer.start()
    batch = make_batch(3)
    with pytest.raises(ExportError):
        exporter.export(batch)
    killer.join()
    server.wait()
    server.stdout.close()
    assert batch.attempt.retried_ambiguous == 3


def test_an_endpoint_that_speaks_no_grpc_is_told(
    make_exporter: MakeExporter, make_batch: MakeBatch, chaos: Any
) -> None:
    endpoint = chaos.endpoint.removesuffix("/v1/traces")
    with pytest.raises(ExportError, match=endpoint):
        make_exporter(endpoint, timeout=1).export(make_batch(1))


def test_no_secret_reaches_the_log_the_stats_or_an_error(
    collector: Collector, make_exporter: MakeExporter, tmp_path: Path, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    _log._last.clear()
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20hunter2,broken-hunter2,x=hunter2%0A")
    with pytest.warns(RuntimeWarning) as warned:
        exporter = make_exporter(collector.endpoint)
    collector.script = [fail(Code.UNAUTHENTICATED, "who is hunter2? not Bearer hunter2")]
    provider = fasttrace.TracerProvider(exporter=exporter, undelivered_dir=str(tmp_path), schedule_delay=60)
    provider.get_tracer("test").start_span("operation").end()
    assert provider.flush(20) is False
    assert collector.metadata[0]["authorization"] == "Bearer hunter2"
    assert "x" not in collector.metadata[0]
    assert "UNAUTHENTICATED: who is" in caplog.text
    shown = repr(exporter) + caplog.text + repr(provider.stats()) + "".join(str(item.message) for item in warned)
    assert "hunter2" not in shown
    provider.shutdown(1)


ENDPOINTS = {
    "default": ({}, "http://localhost:4317", "localhost:4317", False),
    "general": ({"ENDPOINT": "http://collector:4317"}, "http://collector:4317", "collector:4317", False),
    "TLS": ({"ENDPOINT": "https://collector:4317/"}, "https://collector:4317/", "collector:4317", True),
    "traces' own": ({"ENDPOINT": "http://a:1", "TRACES_ENDPOINT": "http://b:2"}, "http://b:2", "b:2", False),
    "bare": ({"ENDPOINT": "collector:4317"}, "https://collector:4317", "collector:4317", True),
    "bare, insecure": ({"ENDPOINT": "c:4317", "INSECURE": "true"}, "http://c:4317", "c:4317", False),
    "insecure is for bare ones": ({"ENDPOINT": "https://c:4317", "INSECURE": "true"}, "https://c:4317", "c:4317", True),
    "traces' own insecure": (
        {"ENDPOINT": "c:4317", "INSECURE": "false", "TRACES_INSECURE": "true"},
        "http://c:4317",
        "c:4317",
        False,
    ),
    "no port": ({"ENDPOINT": "https://collector"}, "https://collector", "collector:443", True),
    "IPv6": ({"ENDPOINT": "http://[::1]:4317"}, "http://[::1]:4317", "[::1]:4317", False),
}  # fmt: skip


@pytest.mark.parametrize("case", ENDPOINTS)
def test_endpoint_variables(monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    variables, endpoint, target, tls = ENDPOINTS[case]
    for name, value in variables.items():
        monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{name}", value)
    exporter = OTLPGrpcExporter()
    sender: Any = exporter._sender
    assert (exporter.endpoint, sender._target, sender._tls) == (endpoint, target, tls)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"endpoint": "collector"}, "use http://host:4317"),
        ({"endpoint": "http://collector:4318/v1/traces"}, "without a path"),
        ({"endpoint": "ftp://collector"}, "use http://host:4317"),
        ({"endpoint": "http://user:hunter2@collector:4317"}, "give credentials as a header"),
        ({"compression": "brotli"}, "use gzip or none"),
        ({"certificate": "/nowhere/ca.pem"}, "is not a file"),
        ({"client_key": __file__}, "without its certificate"),
        ({"headers": {"authorization": "hunter2\n"}}, "header 'authorization'"),
        ({"headers": {"grpc-timeout": "1"}}, "header 'grpc-timeout'"),
        ({"headers": {"user name": "x"}}, "header 'user name'"),
    ],
)
def test_bad_arguments_are_told(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told) as caught:
        OTLPGrpcExporter(**arguments)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(("name", "value"), [("TIMEOUT", "soon"), ("COMPRESSION", "brotli"), ("INSECURE", "perhaps")])
def test_bad_variables_of_opentelemetry_warn_and_count_as_unset(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{name}", value)
    with pytest.warns(RuntimeWarning, match=f"OTEL_EXPORTER_OTLP_{name}='{value}'"):
        exporter = OTLPGrpcExporter()
    assert (exporter.timeout, exporter.compression) == (10.0, "none")


def test_a_protocol_that_nobody_speaks_here_warns_and_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")
    with pytest.warns(RuntimeWarning, match="OTEL_EXPORTER_OTLP_PROTOCOL='http/json': use grpc or http/protobuf"):
        assert type(create("otlp", config.Settings())) is OTLPExporter


@pytest.mark.parametrize(
    ("variables", "kind"),
    [
        ({"OTEL_TRACES_EXPORTER": "otlp-grpc"}, OTLPGrpcExporter),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, OTLPExporter),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, OTLPGrpcExporter),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, OTLPGrpcExporter),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
            OTLPExporter,
        ),
        (
            {
                "OTEL_TRACES_EXPORTER": "otlp",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
                "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
            },
            OTLPExporter,
        ),
    ],
)
def test_the_protocol_is_chosen_by_name_and_by_variable(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], kind: type
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert type(fasttrace.TracerProvider().exporter) is kind


def test_what_waits_is_never_sent_under_other_headers_or_by_another_protocol() -> None:
    exporters = [
        OTLPGrpcExporter("http://c:4317"),
        OTLPGrpcExporter("https://c:4317"),
        OTLPGrpcExporter("http://c:4317", headers={"x-tenant": "a"}),
        OTLPGrpcExporter("http://c:4317", headers={"x-tenant": "b"}),
        OTLPExporter("http://c:4317"),
    ]
    assert len({exporter.destination for exporter in exporters}) == len(exporters)
    assert OTLPGrpcExporter("c:4317", insecure=True).destination == exporters[0].destination
