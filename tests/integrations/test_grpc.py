"""grpc with real servers on the loopback, of threads and of asyncio: one trace on both sides, whatever the kind of call."""

from __future__ import annotations

import asyncio
import base64
import gc
import importlib.util
import re
import socket
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import pytest
from loopback import Spans, shown, wait_for

import fasttrace
from fasttrace._core import decode
from fasttrace._core.types import SpanData, SpanKind, StatusCode
from fasttrace.export import OTLPGrpcExporter
from fasttrace.propagation import set_propagators

grpc = pytest.importorskip("grpc")
integration = pytest.importorskip("fasttrace.integrations.grpc")

tracer = fasttrace.get_tracer("tests")
SERVICE = "shop.Stock"
COLLECTOR = "opentelemetry.proto.collector.trace.v1.TraceService"
released = threading.Event()
asked: list[bytes] = []  # by the functions of the servers


class Stock:
    """Answers in bytes; what it is asked says what it does."""

    def __init__(self) -> None:
        self.metadata: list[Any] = []

    def one(self, request: bytes, context: Any) -> bytes:
        self.metadata.append(context.invocation_metadata())
        with tracer.start_as_current_span("work"):
            act(request, context)
        context.set_trailing_metadata((("stock-left", "3"), ("secret", "s3cret")))
        return request

    def many(self, request: bytes, context: Any) -> Iterator[bytes]:
        act(request, context)
        for number in range(3):
            with tracer.start_as_current_span(f"part {number}"):
                yield request

    def sum(self, requests: Iterator[bytes], context: Any) -> bytes:
        return b",".join(self.one(request, context) for request in requests)

    def echo(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        for request in requests:
            act(request, context)
            yield request


def act(request: bytes, context: Any) -> None:
    if request == b"abort":
        context.abort(grpc.StatusCode.NOT_FOUND, "no such item")
    elif request == b"down":
        context.abort(grpc.StatusCode.UNAVAILABLE, "closed for today")
    elif request == b"set":
        context.set_code(grpc.StatusCode.OUT_OF_RANGE)
        context.set_details("too many")
    elif request == b"raise":
        raise LookupError("nothing on https://user:pw@stock/?token=s3cret")
    elif request == b"wait":
        released.wait(60)
    elif request == b"late":
        asked.append(request)
        ended = threading.Event()
        if context.add_callback(ended.set):
            ended.wait(60)


class AsyncStock:
    """The same, for grpc.aio."""

    async def one(self, request: bytes, context: Any) -> bytes:
        with tracer.start_as_current_span("work"):
            await self.act(request, context)
        return request

    async def many(self, request: bytes, context: Any) -> Any:
        await self.act(request, context)
        for number in range(3):
            with tracer.start_as_current_span(f"part {number}"):
                yield request

    async def sum(self, requests: Any, context: Any) -> bytes:
        return b",".join([await self.one(request, context) async for request in requests])

    async def echo(self, requests: Any, context: Any) -> None:
        """In the other style, of reading and writing."""
        while (request := await context.read()) is not grpc.aio.EOF:
            await context.write(request)

    def old(self, request: bytes, context: Any) -> bytes:
        """A function that is none of asyncio's."""
        with tracer.start_as_current_span("work"):
            act(request, context)
            return request

    async def act(self, request: bytes, context: Any) -> None:
        if request == b"abort":
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such item")
        elif request == b"raise":
            raise LookupError("nothing")
        elif request in (b"wait", b"late"):
            asked.append(request)
            await asyncio.sleep(60)


def handlers(stock: Any) -> Any:
    methods = {
        "One": grpc.unary_unary_rpc_method_handler(stock.one),
        "Many": grpc.unary_stream_rpc_method_handler(stock.many),
        "Sum": grpc.stream_unary_rpc_method_handler(stock.sum),
        "Echo": grpc.stream_stream_rpc_method_handler(stock.echo),
    }
    if hasattr(stock, "old"):
        methods["Old"] = grpc.unary_unary_rpc_method_handler(stock.old)
    return grpc.method_handlers_generic_handler(SERVICE, methods)


def serve(stock: Stock, **options: Any) -> Any:
    """A server that has started, and its port."""
    server = grpc.server(futures.ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)], **options)
    server.add_generic_rpc_handlers((handlers(stock),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


class Client:
    def __init__(self, channel: Any) -> None:
        self.channel = channel
        self.one = channel.unary_unary(f"/{SERVICE}/One")
        self.many = channel.unary_stream(f"/{SERVICE}/Many")
        self.sum = channel.stream_unary(f"/{SERVICE}/Sum")
        self.echo = channel.stream_stream(f"/{SERVICE}/Echo")


@pytest.fixture
def instrumented() -> Iterator[None]:
    integration.instrument(capture_metadata=["x-tenant", "stock-left"])
    asked.clear()
    yield
    integration.uninstrument()


@pytest.fixture
def stock() -> Stock:
    return Stock()


@pytest.fixture
def port(instrumented: None, stock: Stock) -> Iterator[int]:
    released.clear()
    server, port = serve(stock)
    yield port
    released.set()
    server.stop(0).wait()


@pytest.fixture
def client(port: int) -> Iterator[Client]:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Client(channel)


def sides(spans: Spans, count: int) -> tuple[SpanData, SpanData, list[SpanData]]:
    """The client's span, the server's, which is its child, and those below."""
    found = wait_for(spans, count)
    (client,) = [data for data in found if data.kind is SpanKind.CLIENT]
    (server,) = [data for data in found if data.kind is SpanKind.SERVER]
    assert (server.trace_id, server.parent_span_id) == (client.trace_id, client.span_id)
    below = [data for data in found if data.kind is SpanKind.INTERNAL]
    return client, server, below


def test_a_call_is_one_trace_with_the_attributes_of_the_conventions(spans: Spans, client: Client, port: int) -> None:
    assert client.one(b"5", metadata=(("x-tenant", "blue"), ("x-key", "s3cret"))) == b"5"
    calling, serving, below = sides(spans, 3)
    known = {"rpc.system.name": "grpc", "rpc.method": "shop.Stock/One", "rpc.response.status_code": "OK"}
    tenant = {"rpc.request.metadata.x-tenant": ["blue"]}
    assert calling.name == serving.name == "shop.Stock/One"
    assert calling.attributes == {
        **known,
        **tenant,
        "server.address": "127.0.0.1",
        "server.port": port,
        "rpc.response.metadata.stock-left": ["3"],
    }
    peer = serving.attributes.pop("network.peer.port")  # type: ignore[attr-defined]
    assert isinstance(peer, int) and peer != port
    assert serving.attributes == {**known, **tenant, "network.peer.address": "127.0.0.1"}
    assert [(data.name, data.parent_span_id) for data in below] == [("work", serving.span_id)]
    assert {data.status.status_code for data in (calling, serving)} == {StatusCode.UNSET}
    assert "s3cret" not in shown(calling, serving)


def test_every_name_is_one_of_the_conventions(spans: Spans, client: Client) -> None:
    pytest.importorskip("opentelemetry.semconv")
    module = importlib.util.find_spec("opentelemetry.semconv._incubating.attributes.rpc_attributes")
    assert module is not None and module.origin is not None
    about = dict(re.findall(r': Final = "(rpc[.\w]+)"\n"""\n(.+)', Path(module.origin).read_text()))
    assert client.one(b"5") == b"5"
    for data in sides(spans, 3)[:2]:
        for name in data.attributes:
            if name.startswith("rpc."):
                assert not about[re.sub("(metadata).*", r"\1", name)].startswith("Deprecated"), name


@pytest.mark.parametrize(
    ("method", "request_", "answer", "below"),
    [
        ("many", b"5", [b"5"] * 3, ["part 0", "part 1", "part 2"]),
        ("sum", [b"1", b"2"], b"1,2", ["work", "work"]),
        ("echo", [b"1", b"2"], [b"1", b"2"], []),
    ],
)
def test_streams_are_one_span_on_each_side_that_lasts_until_their_end(
    spans: Spans, client: Client, method: str, request_: Any, answer: Any, below: list[str]
) -> None:
    with tracer.start_as_current_span("caller") as caller:
        given = getattr(client, method)(iter(request_) if isinstance(request_, list) else request_)
        assert (list(given) if isinstance(answer, list) else given) == answer
        assert fasttrace.current_span() is caller
    found = wait_for(spans, 3 + len(below))
    calling, serving = (
        next(data for data in found if data.kind is kind) for kind in (SpanKind.CLIENT, SpanKind.SERVER)
    )
    inside = [data for data in found if data.name in below]
    assert [data.name for data in inside] == below
    assert {data.parent_span_id for data in inside} <= {serving.span_id}
    assert all(
        serving.start_time_ns <= data.start_time_ns <= data.end_time_ns <= serving.end_time_ns for data in inside
    )
    assert calling.attributes["rpc.response.status_code"] == serving.attributes["rpc.response.status_code"] == "OK"
    assert calling.parent_span_id == caller.span_id_hex


@pytest.mark.parametrize(
    ("request_", "code", "details", "is_servers"),
    [
        (b"abort", "NOT_FOUND", "no such item", False),
        (b"set", "OUT_OF_RANGE", "too many", False),
        (b"down", "UNAVAILABLE", "closed for today", True),
    ],
)
@pytest.mark.parametrize("method", ["one", "many"])
def test_a_status_is_an_error_to_the_client_and_to_the_server_if_it_is_its_own(
    spans: Spans, client: Client, method: str, request_: bytes, code: str, details: str, is_servers: bool
) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        list(getattr(client, method)(request_))
    assert raised.value.code().name == code
    assert raised.value.details() == details
    found = [data for data in wait_until(spans, 2) if data.kind is not SpanKind.INTERNAL]
    calling, serving = found
    for data, is_error in ((calling, True), (serving, is_servers)):
        assert data.attributes["rpc.response.status_code"] == code
        assert data.attributes.get("error.type") == (code if is_error else None)
        assert data.status.status_code is (StatusCode.ERROR if is_error else StatusCode.UNSET)
        assert data.status.description == (details if is_error else None)
        assert not data.events  # an answer, no exception


def wait_until(spans: Spans, sides: int) -> list[SpanData]:
    """The spans, once so many of client and server have ended."""
    deadline = time.monotonic() + 60
    while True:
        found = spans()
        if len([data for data in found if data.kind is not SpanKind.INTERNAL]) >= sides:
            return found
        assert time.monotonic() < deadline, [data.name for data in found]
        time.sleep(0.01)


def wait_for_code(spans: Spans, kind: SpanKind, code: str) -> SpanData:
    """The first span of a kind with this status, once it has ended."""
    deadline = time.monotonic() + 60
    while True:
        for data in spans():
            if data.kind is kind and data.attributes["rpc.response.status_code"] == code:
                return data
        assert time.monotonic() < deadline, [(data.name, data.attributes) for data in spans()]
        time.sleep(0.01)


def test_an_exception_is_recorded_where_it_was_raised_without_its_secrets(spans: Spans, client: Client) -> None:
    with pytest.raises(grpc.RpcError, match="nothing on"):
        client.one(b"raise")
    calling, serving, (work,) = sides(spans, 3)
    assert [event.name for event in serving.events] == [event.name for event in work.events] == ["exception"]
    assert serving.attributes["error.type"] == "LookupError"
    assert calling.attributes["error.type"] == "UNKNOWN"
    for data in (calling, serving):
        assert data.status.status_code is StatusCode.ERROR
        assert data.attributes["rpc.response.status_code"] == "UNKNOWN"
        assert data.status.description is not None and "https://stock/?token=REDACTED" in data.status.description
    assert not calling.events
    assert "s3cret" not in shown(calling, serving, work) and "pw@" not in shown(calling, serving, work)


def test_a_future_ends_its_span_when_it_is_done(spans: Spans, client: Client) -> None:
    future = client.one.future(b"wait")
    deadline = time.monotonic() + 60
    while not fasttrace.stats()["started"] >= 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not [data for data in spans() if data.kind is SpanKind.CLIENT]
    released.set()
    assert future.result(10) == b"wait"
    calling, _, _ = sides(spans, 3)
    assert calling.attributes["rpc.response.status_code"] == "OK"


def test_who_cancels_makes_no_error_and_who_is_late_does(spans: Spans, client: Client) -> None:
    client.one.future(b"wait").cancel()
    while not asked:  # what is late before the server has it says nothing of the server
        with pytest.raises(grpc.RpcError):
            client.one(b"late", timeout=0.2)
    released.set()
    served = wait_for_code(spans, SpanKind.SERVER, "DEADLINE_EXCEEDED")
    cancelled, late = (wait_for_code(spans, SpanKind.CLIENT, code) for code in ("CANCELLED", "DEADLINE_EXCEEDED"))
    assert cancelled.attributes["rpc.response.status_code"] == "CANCELLED"
    assert [event.name for event in cancelled.events] == ["cancelled"]
    assert cancelled.status.status_code is StatusCode.UNSET
    assert late.attributes["rpc.response.status_code"] == late.attributes["error.type"] == "DEADLINE_EXCEEDED"
    assert served.status.status_code is StatusCode.ERROR


def test_a_stream_that_nobody_holds_any_more_is_cancelled_as_without_us(spans: Spans, client: Client) -> None:
    gc.disable()  # no collection is needed for it
    try:
        stream = client.echo(iter([b"1", b"wait"]))
        assert next(stream) == b"1"
        del stream
        deadline = time.monotonic() + 60
        while not (calling := [data for data in spans() if data.kind is SpanKind.CLIENT]):
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        gc.enable()
    assert calling[0].attributes["rpc.response.status_code"] == "CANCELLED"
    released.set()


def test_a_caller_who_leaves_amid_his_requests_makes_no_error(spans: Spans, client: Client) -> None:
    def requests() -> Iterator[bytes]:
        yield b"1"
        released.wait(60)

    stream = client.echo(requests())
    assert next(stream) == b"1"
    stream.cancel()
    for data in wait_until(spans, 2):
        assert data.status.status_code is StatusCode.UNSET
        # To the server the requests may look as if they were over, before gRPC tells it why.
        code = data.attributes["rpc.response.status_code"]
        assert code == "CANCELLED" or (code == "OK" and data.kind is SpanKind.SERVER)
        assert [event.name for event in data.events] == (["cancelled"] if code == "CANCELLED" else [])
    released.set()


def test_arguments_may_have_their_names(spans: Spans, client: Client, stock: Stock) -> None:
    assert client.one(request=b"5", metadata=[("x-tenant", "blue")], timeout=10) == b"5"
    assert client.sum(request_iterator=iter([b"5"])) == b"5"
    assert client.one(b"5", 10, [("x-tenant", "blue")]) == b"5"
    assert [dict(sent).get("x-tenant") for sent in stock.metadata] == ["blue", None, "blue"]
    assert all("traceparent" in dict(sent) for sent in stock.metadata)


def test_metadata_that_is_none_is_refused_as_without_us(spans: Spans, client: Client) -> None:
    with pytest.raises((TypeError, ValueError)):
        client.one(b"5", metadata=7)
    (calling,) = wait_for(spans, 1)
    assert calling.status.status_code is StatusCode.ERROR


def test_a_server_that_is_away_is_an_error_of_the_client_alone(spans: Spans, instrumented: None) -> None:
    with grpc.insecure_channel("127.0.0.1:1") as channel, pytest.raises(grpc.RpcError):
        channel.unary_unary("/shop.Stock/One")(b"5")
    (calling,) = wait_for(spans, 1)
    assert calling.attributes["error.type"] == "UNAVAILABLE"


def test_the_context_goes_in_the_formats_that_were_chosen(spans: Spans, client: Client, stock: Stock) -> None:
    set_propagators(["tracecontext", "b3multi", "binary"])
    try:
        client.one(b"5", metadata=[("traceparent", "mine")])
    finally:
        set_propagators(None)
    calling, _, _ = sides(spans, 3)
    sent = dict(stock.metadata[0])
    assert sent["traceparent"] == f"00-{calling.trace_id}-{calling.span_id}-03"
    assert [name for name, _ in stock.metadata[0]].count("traceparent") == 1
    assert sent["x-b3-traceid"] == calling.trace_id
    assert "grpc-trace-bin" not in sent  # as docs/integrations/rpc.md has it: it is sent, and grpcio keeps it


def wire(listener: socket.socket, received: dict[bytes, bytes]) -> None:
    """A server in HTTP/2 alone that answers one call: gRPC's own keeps grpc-trace-bin from applications."""
    h2 = pytest.importorskip("h2")
    peer = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding=None))
    connection, _ = listener.accept()
    with connection:
        peer.initiate_connection()
        connection.sendall(peer.data_to_send())
        while not received and (data := connection.recv(65536)):
            for event in peer.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    received |= dict(event.headers)
                    status = [(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "5")]
                    peer.send_headers(event.stream_id, status, end_stream=True)
            connection.sendall(peer.data_to_send())
        connection.recv(65536)


def test_the_binary_header_is_on_the_wire_as_the_specification_has_it(spans: Spans, instrumented: None) -> None:
    pytest.importorskip("h2.connection")
    received: dict[bytes, bytes] = {}
    set_propagators(["tracecontext", "binary"])
    try:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            peer = threading.Thread(target=wire, args=(listener, received))
            peer.start()
            with grpc.insecure_channel(f"127.0.0.1:{listener.getsockname()[1]}") as channel:
                with pytest.raises(grpc.RpcError):
                    channel.unary_unary("/shop.Stock/One")(b"5", timeout=10)
            peer.join(10)
    finally:
        set_propagators(None)
    (calling,) = wait_for(spans, 1)
    sent = base64.b64decode(received[b"grpc-trace-bin"] + b"==")
    ids = bytes.fromhex(calling.trace_id), bytes.fromhex(calling.span_id)
    # OpenCensus BinaryEncoding: version 0, then field 0, 1 and 2.
    assert sent == b"\0\0" + ids[0] + b"\x01" + ids[1] + b"\x02\x01"
    assert received[b"traceparent"].decode().split("-")[1] == calling.trace_id


def test_methods_that_are_skipped_leave_nothing(spans: Spans, stock: Stock) -> None:
    integration.instrument(skip=["/shop.Stock/O*"])
    server, port = serve(stock)
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            client = Client(channel)
            assert client.one(b"5") == b"5"
            assert "traceparent" not in dict(stock.metadata[0])
            assert client.sum(iter([b"5"])) == b"5"
        assert {data.name for data in wait_for(spans, 3)} == {"shop.Stock/Sum", "work"}
    finally:
        server.stop(0).wait()
        integration.uninstrument()


@pytest.mark.parametrize(
    ("variable", "value"),
    [("FASTTRACE_SKIP_PATHS", "/shop.Stock/O*"), ("OTEL_PYTHON_EXCLUDED_URLS", "Stock/One,healthz")],
)
def test_servers_skip_what_the_variables_say(
    spans: Spans, stock: Stock, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    integration.instrument()
    server, port = serve(stock)
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            client = Client(channel)
            assert client.one(b"5") == b"5"
            assert client.sum(iter([b"5"])) == b"5"
        found = [(data.name, data.kind) for data in wait_for(spans, 4)]
    finally:
        server.stop(0).wait()
        integration.uninstrument()
    calls = [
        ("shop.Stock/One", SpanKind.CLIENT),
        ("shop.Stock/Sum", SpanKind.CLIENT),
        ("shop.Stock/Sum", SpanKind.SERVER),
    ]
    assert found == [*calls, ("work", SpanKind.INTERNAL)]


def test_a_unix_socket_is_an_address_too(spans: Spans, stock: Stock, instrumented: None, tmp_path: Path) -> None:
    server = grpc.server(futures.ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers((handlers(stock),))
    target = f"unix:{tmp_path}/stock.sock"
    server.add_insecure_port(target)
    server.start()
    try:
        with grpc.insecure_channel(target) as channel:
            assert Client(channel).one(b"5") == b"5"
        calling, serving, _ = sides(spans, 3)
    finally:
        server.stop(0).wait()
    assert calling.attributes["server.address"] == f"{tmp_path}/stock.sock"
    assert "server.port" not in calling.attributes and "" not in serving.attributes.values()


def test_one_channel_and_one_server(spans: Spans, stock: Stock) -> None:
    server, port = serve(stock, interceptors=[integration.ServerInterceptor(), integration.ServerInterceptor()])
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel, grpc.insecure_channel(f"127.0.0.1:{port}") as other:
            assert integration.instrument(channel) is channel
            integration.instrument(channel)
            traced = Client(channel)
            assert isinstance(traced.one, grpc.UnaryUnaryMultiCallable)
            assert (traced.one(b"5"), Client(other).one(b"6")) == (b"5", b"6")
            calling, serving, _, alone, _ = wait_for(spans, 5)
            assert (calling.kind, serving.parent_span_id) == (SpanKind.CLIENT, calling.span_id)
            assert calling.attributes["server.port"] == port
            assert (alone.kind, alone.parent_span_id) == (SpanKind.SERVER, "")
            assert integration.uninstrument(channel) is channel
            traced.one(b"7")
            assert [data.kind for data in wait_for(spans, 7)].count(SpanKind.CLIENT) == 1
    finally:
        server.stop(0).wait()


def test_nothing_is_traced_of_exporters_requests_or_after_uninstrument(spans: Spans, port: int, stock: Stock) -> None:
    from fasttrace.context import UNTRACED, use

    channel = grpc.insecure_channel(f"127.0.0.1:{port}")
    client = Client(channel)
    with use(UNTRACED):
        client.one(b"5")
        assert not vars(grpc.insecure_channel(f"127.0.0.1:{port}")).get("unary_unary")
    assert "traceparent" not in dict(stock.metadata[0])
    assert [data.kind for data in wait_for(spans, 2)] == [SpanKind.SERVER, SpanKind.INTERNAL]
    integration.uninstrument()
    client.one(b"5")
    assert [data.name for data in wait_for(spans, 3)][2] == "work"
    channel.close()


def test_what_our_own_exporter_sends_is_no_span_and_has_no_context() -> None:
    received: list[str] = []

    def export(request: bytes, context: Any) -> bytes:
        received.extend(data.name for data in decode.decode_request(request))
        received.extend(name for name, _ in context.invocation_metadata() if name == "traceparent")
        return b""

    server = grpc.server(futures.ThreadPoolExecutor(1))
    collector = {"Export": grpc.unary_unary_rpc_method_handler(export)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(COLLECTOR, collector),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    integration.instrument()
    fasttrace.configure(service_name="tests", exporter=OTLPGrpcExporter(f"http://127.0.0.1:{port}"))
    try:
        for _ in range(3):
            tracer.start_span("work").end()
            assert fasttrace.flush(timeout=60)
        assert received == ["work"] * 3
    finally:
        integration.uninstrument()
        fasttrace.shutdown(timeout=10)
        server.stop(0).wait()


def test_users_interceptors_run_below_the_spans(spans: Spans, stock: Stock, instrumented: None) -> None:
    seen: list[Any] = []

    class Server(grpc.ServerInterceptor):  # type: ignore[misc]
        def intercept_service(self, continuation: Any, details: Any) -> Any:
            return continuation(details)

    class Calls(grpc.UnaryUnaryClientInterceptor):  # type: ignore[misc]
        def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
            seen.append(details.method)
            return continuation(details, request)

    server, port = serve(stock, interceptors=[Server()])
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            assert Client(grpc.intercept_channel(channel, Calls())).one(b"5") == b"5"
        sides(spans, 3)
        assert seen == ["/shop.Stock/One"]
    finally:
        server.stop(0).wait()


def test_nothing_is_replaced_in_the_end() -> None:
    before = [getattr(owner, name) for owner in (grpc, grpc.aio) for name in ("insecure_channel", "server")]
    integration.instrument()
    integration.instrument()
    assert grpc.server is not before[1]
    integration.uninstrument()
    assert [getattr(owner, name) for owner in (grpc, grpc.aio) for name in ("insecure_channel", "server")] == before


def test_targets_and_peers_have_an_address() -> None:
    from fasttrace.integrations._rpc import address_of

    for target, expected in {
        "stock:50051": ("stock", 50051),
        "stock": ("stock", None),
        "dns:///stock.shop:443": ("stock.shop", 443),
        "dns://8.8.8.8/stock:443": ("stock", 443),
        "ipv4:127.0.0.1:7": ("127.0.0.1", 7),
        "ipv6:%5B::1%5D:7": ("::1", 7),
        "[::1]:7": ("::1", 7),
        "ipv4:10.0.0.1:7,10.0.0.2:7": ("10.0.0.1", 7),
        "unix:/run/stock.sock": ("/run/stock.sock", None),
        "unix:": ("", None),
    }.items():
        assert address_of(target) == expected, target


# --- grpc.aio


class Session:
    """A server and a channel of grpc.aio."""

    def __init__(self, **options: Any) -> None:
        self.options = options

    async def __aenter__(self) -> Client:
        self.server = grpc.aio.server(options=[("grpc.so_reuseport", 0)], **self.options)
        self.server.add_generic_rpc_handlers((handlers(AsyncStock()),))
        port = self.server.add_insecure_port("127.0.0.1:0")
        await self.server.start()
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        return Client(self.channel)

    async def __aexit__(self, *error: object) -> None:
        await self.channel.close()
        await self.server.stop(None)


def test_calls_of_asyncio_are_one_trace_too(spans: Spans, instrumented: None) -> None:
    async def main() -> None:
        async with Session() as client:
            assert await client.one(b"5", metadata=(("x-tenant", "blue"),)) == b"5"
            assert [part async for part in client.many(b"6")] == [b"6"] * 3
            assert await client.sum(iter([b"1", b"2"])) == b"1,2"
            assert [part async for part in client.echo(iter([b"1"]))] == [b"1"]
            assert await client.channel.unary_unary(f"/{SERVICE}/Old")(b"7") == b"7"

    asyncio.run(main())
    found = wait_for(spans, 17)
    by_id = {data.span_id: data for data in found}
    for kind in ("One", "Many", "Sum", "Echo", "Old"):
        calling, serving = (data for data in found if data.name == f"shop.Stock/{kind}")
        assert (calling.kind, serving.kind) == (SpanKind.CLIENT, SpanKind.SERVER)
        assert (calling.parent_span_id, serving.parent_span_id) == ("", calling.span_id)
        assert calling.attributes["rpc.response.status_code"] == serving.attributes["rpc.response.status_code"] == "OK"
        assert serving.attributes["network.peer.address"] == "127.0.0.1"
    for data in found:
        if data.kind is SpanKind.INTERNAL:
            assert by_id[data.parent_span_id].kind is SpanKind.SERVER
    assert calling.attributes["server.address"] == "127.0.0.1"
    assert found[0].attributes["rpc.request.metadata.x-tenant"] == ["blue"]


def test_asyncios_statuses_and_exceptions_are_told_too(spans: Spans, instrumented: None) -> None:
    async def main() -> None:
        async with Session() as client:
            for request, code in ((b"abort", "NOT_FOUND"), (b"raise", "UNKNOWN")):
                with pytest.raises(grpc.aio.AioRpcError) as raised:
                    await client.one(request)
                assert raised.value.code().name == code
                with pytest.raises(grpc.aio.AioRpcError):
                    [part async for part in client.many(request)]
            for request in (b"down", b"set"):
                with pytest.raises(grpc.aio.AioRpcError):
                    await client.channel.unary_unary(f"/{SERVICE}/Old")(request)

    asyncio.run(main())
    found = [data for data in wait_until(spans, 12) if data.kind is not SpanKind.INTERNAL]
    calling = [data for data in found if data.kind is SpanKind.CLIENT]
    serving = [data for data in found if data.kind is SpanKind.SERVER]
    codes = [*("NOT_FOUND", "NOT_FOUND", "UNKNOWN", "UNKNOWN", "UNAVAILABLE", "OUT_OF_RANGE")]
    assert [data.attributes["rpc.response.status_code"] for data in calling] == codes
    assert [data.attributes["rpc.response.status_code"] for data in serving] == codes
    error, fine = StatusCode.ERROR, StatusCode.UNSET
    assert [data.status.status_code for data in calling] == [error] * 6
    assert [data.status.status_code for data in serving] == [fine] * 2 + [error] * 3 + [fine]
    assert [data.attributes.get("error.type") for data in serving[2:4]] == ["LookupError"] * 2
    assert calling[0].status.description == "no such item"


def test_with_asyncio_too_who_cancels_makes_no_error_and_who_is_late_does(spans: Spans, instrumented: None) -> None:
    async def main() -> None:
        async with Session() as client:
            while b"late" not in asked:  # as above
                with pytest.raises(grpc.aio.AioRpcError):
                    await client.one(b"late", timeout=0.2)
            call = client.one(b"wait")
            while b"wait" not in asked:
                await asyncio.sleep(0.005)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call

    asyncio.run(main())
    for kind in (SpanKind.CLIENT, SpanKind.SERVER):
        assert wait_for_code(spans, kind, "DEADLINE_EXCEEDED").status.status_code is StatusCode.ERROR
        data = wait_for_code(spans, kind, "CANCELLED")
        assert data.status.status_code is StatusCode.UNSET
        assert [event.name for event in data.events if event.name != "exception"] == ["cancelled"]


def test_one_channel_and_one_server_of_asyncio(spans: Spans) -> None:
    async def main() -> None:
        async with Session(interceptors=[integration.AsyncServerInterceptor()]) as plain:
            integration.instrument(plain.channel)
            client = Client(plain.channel)
            assert isinstance(client.one, grpc.aio.UnaryUnaryMultiCallable)
            call = client.one(b"5")
            assert await call == b"5"
            assert await call.code() is grpc.StatusCode.OK
            integration.uninstrument(plain.channel)
            assert await client.one(b"6") == b"6"

    asyncio.run(main())
    assert [data.kind for data in wait_for(spans, 5)].count(SpanKind.CLIENT) == 1


def test_asyncios_interceptors_are_waited_for(spans: Spans, instrumented: None) -> None:
    class Slow(grpc.aio.UnaryUnaryClientInterceptor):  # type: ignore[misc]
        async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
            await asyncio.sleep(0.01)
            return await continuation(details, b"more " + request)

    async def main() -> None:
        async with Session() as client:
            address = client.one._channel.address
            target = f"{address['server.address']}:{address['server.port']}"
            async with grpc.aio.insecure_channel(target, interceptors=[Slow()]) as channel:
                assert await channel.unary_unary(f"/{SERVICE}/One")(b"5") == b"more 5"

    asyncio.run(main())
    sides(spans, 3)
