"""The WSGI middleware on a real threaded server and under the standard library's validator."""

from __future__ import annotations

import gc
import io
import sys
import threading
from typing import Any
from wsgiref.util import FileWrapper, setup_testing_defaults
from wsgiref.validate import validator

import httpx
import pytest
from loopback import Spans, serving_wsgi, wait_for

import fasttrace
from fasttrace._core.types import SpanKind, StatusCode
from fasttrace.integrations.wsgi import TracingMiddleware

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TEXT = (("Content-Type", "text/plain; charset=utf-8"),)  # servers add to the list that they are given


class Broken(Exception):
    pass


def fail(text: str) -> None:
    raise Broken(text)


def inside(name: str) -> None:
    fasttrace.get_tracer("tests").start_span(name).end()


def listed(environ: Any, start_response: Any) -> Any:
    start_response(environ.get("HTTP_X_STATUS", "200 OK"), [*TEXT, ("X-Kind", "listed")])
    inside("call")
    return [b"one ", b"two"]


class Answer:
    """An iterable that says when it is iterated and closed."""

    def __init__(self, log: list[str], fail_at: int = -1) -> None:
        self.log = log
        self.fail_at = fail_at

    def __iter__(self) -> Any:
        self.log.append("iter")
        for number in range(3):
            if number == self.fail_at:
                raise Broken("in the middle")
            inside(f"block {number}")
            yield f"{number}\n".encode()
        self.log.append("done")

    def close(self) -> None:
        inside("close")
        self.log.append("close")


def environment(**more: Any) -> dict[str, Any]:
    environ: dict[str, Any] = dict(more)
    setup_testing_defaults(environ)
    environ.setdefault("QUERY_STRING", "")
    return environ


def call(app: Any, environ: dict[str, Any] | None = None) -> tuple[list[Any], list[bytes]]:
    """Call an application as a server has to: what it started with, and its blocks."""
    started: list[Any] = []

    def start_response(*arguments: Any) -> Any:
        started.append(arguments)
        return lambda data: started.append(data)

    result = app(environment() if environ is None else environ, start_response)
    try:
        return started, list(result)
    finally:
        if hasattr(result, "close"):
            result.close()


def test_request_is_a_server_span(spans: Spans) -> None:
    with serving_wsgi(validator(TracingMiddleware(validator(listed), capture_headers=["x-kind", "x-other"]))) as url:
        headers = {"traceparent": PARENT, "user-agent": "tester/1", "authorization": "Bearer secret"}
        response = httpx.get(f"{url}/caf%C3%A9?token=abc&page=2", headers=headers)
        server, child = wait_for(spans, 2)
    assert response.text == "one two"
    assert (server.name, server.kind) == ("GET", SpanKind.SERVER)
    assert (server.trace_id, server.parent_span_id) == (PARENT[3:35], PARENT[36:52])
    assert child.parent_span_id == server.span_id
    assert server.attributes == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.response.header.x-kind": server.attributes["http.response.header.x-kind"],
        "url.path": "/café",
        "url.query": "token=REDACTED&page=2",
        "url.scheme": "http",
        "server.address": "127.0.0.1",
        "server.port": response.url.port,
        "client.address": "127.0.0.1",
        "network.protocol.version": "1.1",
        "user_agent.original": "tester/1",
    }
    assert list(server.attributes["http.response.header.x-kind"]) == ["listed"]
    assert server.status.status_code == StatusCode.UNSET


@pytest.mark.parametrize(("status", "code"), [("503 Later", StatusCode.ERROR), ("404 Nowhere", StatusCode.UNSET)])
def test_5xx_is_an_error_and_4xx_is_none(spans: Spans, status: str, code: StatusCode) -> None:
    with serving_wsgi(TracingMiddleware(listed)) as url:
        assert httpx.get(url, headers={"x-status": status}).status_code == int(status[:3])
        server, _ = wait_for(spans, 2)
    assert server.status.status_code == code
    assert server.attributes.get("error.type") == ("503" if code == StatusCode.ERROR else None)


def test_iterable_is_iterated_late_and_closed_once_with_its_context(spans: Spans) -> None:
    log: list[str] = []

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [*TEXT])
        log.append("called")
        return Answer(log)

    with serving_wsgi(validator(TracingMiddleware(validator(app)))) as url:
        assert httpx.get(url).text == "0\n1\n2\n"
        server, *blocks = wait_for(spans, 5)
    assert log == ["called", "iter", "done", "close"]
    assert [span.name for span in blocks] == ["block 0", "block 1", "block 2", "close"]
    assert {span.parent_span_id for span in blocks} == {server.span_id}
    assert server.end_time_ns >= blocks[2].end_time_ns


def test_nothing_is_current_between_the_blocks(spans: Spans) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [*TEXT])
        for _ in range(2):
            inside("block")
            yield b"block"

    result = TracingMiddleware(app)(environment(), lambda *_: None)
    seen = [fasttrace.current_span().is_recording() for _ in result]
    assert seen == [False, False]
    assert len(spans()) == 3  # the span has ended: all blocks were taken


def test_start_response_may_be_called_late_and_by_a_generator(spans: Spans) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("503 Later", [*TEXT])
        yield b"later"

    with serving_wsgi(validator(TracingMiddleware(validator(app)))) as url:
        assert httpx.get(url).status_code == 503
        (server,) = wait_for(spans, 1)
    assert server.attributes["http.response.status_code"] == 503
    assert server.status.status_code == StatusCode.ERROR


def test_start_response_may_be_called_again_with_an_exception(spans: Spans) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [*TEXT])
        try:
            fail("too late")
        except Broken:
            start_response("500 Sorry", [*TEXT], sys.exc_info())
        return [b"sorry"]

    with serving_wsgi(validator(TracingMiddleware(validator(app)))) as url:
        assert httpx.get(url).status_code == 500
        (server,) = wait_for(spans, 1)
    assert server.attributes["http.response.status_code"] == 500
    assert [event.attributes["exception.message"] for event in server.events] == ["too late"]


def test_an_exception_after_the_headers_is_the_server_s_to_raise(spans: Spans) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [*TEXT])(b"sent already")
        try:
            fail("after the headers")
        except Broken:
            start_response("500 Sorry", [*TEXT], sys.exc_info())
        return []

    with serving_wsgi(TracingMiddleware(app)) as url:
        assert httpx.get(url).text.startswith("sent already")
        (server,) = wait_for(spans, 1)
    assert server.attributes["http.response.status_code"] == 200
    assert server.attributes["error.type"].endswith("Broken")
    assert [event.attributes["exception.message"] for event in server.events] == ["after the headers"]


def test_write_is_the_server_s(spans: Spans) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        write = start_response("200 OK", [*TEXT])
        write(b"written, ")
        return [b"returned"]

    with serving_wsgi(validator(TracingMiddleware(validator(app)))) as url:
        assert httpx.get(url).text == "written, returned"
    assert len(wait_for(spans, 1)) == 1


def test_exceptions_pass_unchanged_and_are_recorded_once(spans: Spans) -> None:
    error = Broken("at once")

    def app(environ: Any, start_response: Any) -> Any:
        raise error

    with pytest.raises(Broken) as raised:
        call(TracingMiddleware(app))
    assert raised.value is error
    (server,) = spans()
    assert server.status.status_code == StatusCode.ERROR
    assert server.attributes["error.type"].endswith("test_wsgi.Broken")
    assert [event.name for event in server.events] == ["exception"]


def test_an_exception_while_iterating_passes_and_the_answer_is_closed(spans: Spans) -> None:
    log: list[str] = []

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [*TEXT])
        return Answer(log, fail_at=1)

    with pytest.raises(Broken, match="in the middle"):
        call(TracingMiddleware(app))
    server, *_ = spans()
    assert log == ["iter", "close"]
    assert server.status.status_code == StatusCode.ERROR
    assert [event.attributes["exception.message"] for event in server.events] == ["in the middle"]


@pytest.mark.parametrize("stop", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_what_is_no_error_passes_and_is_none(spans: Spans, stop: type[BaseException]) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        raise stop

    with pytest.raises(stop):
        call(TracingMiddleware(app))
    (server,) = spans()
    assert server.status.status_code == StatusCode.UNSET


def test_a_client_that_goes_away_closes_the_answer_and_ends_the_span(spans: Spans) -> None:
    closed = threading.Event()

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [*TEXT])
        try:
            while True:
                yield b"again\n" * 10_000
        finally:
            closed.set()

    with serving_wsgi(TracingMiddleware(app)) as url:
        with httpx.stream("GET", url) as response:
            next(response.iter_raw())
        assert closed.wait(60)
        (server,) = wait_for(spans, 1)
    assert server.status.status_code == StatusCode.UNSET


def test_a_client_that_times_out_leaves_a_span_that_ends_with_the_work(spans: Spans) -> None:
    go_on = threading.Event()

    def app(environ: Any, start_response: Any) -> Any:
        go_on.wait(60)
        start_response("200 OK", [*TEXT])
        return [b"late"]

    with serving_wsgi(TracingMiddleware(app)) as url:
        with pytest.raises(httpx.ReadTimeout):
            httpx.get(url, timeout=httpx.Timeout(60, read=0.1))
        assert spans() == []
        go_on.set()
        (server,) = wait_for(spans, 1)
    assert (server.name, server.status.status_code) == ("GET", StatusCode.UNSET)


@pytest.mark.parametrize("app", [listed, lambda environ, start_response: iter((b"a", b"b"))])
def test_a_request_leaves_nothing_for_the_garbage_collector(spans: Spans, app: Any) -> None:
    middleware = TracingMiddleware(app)
    call(middleware)
    gc.collect()
    gc.disable()
    try:
        call(middleware)
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_a_file_is_still_the_server_s_to_send(spans: Spans) -> None:
    log: list[str] = []

    class File(io.BytesIO):
        def close(self) -> None:
            log.append("close")
            super().close()

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [*TEXT])
        return environ["wsgi.file_wrapper"](File(b"a file"))

    environ = environment(**{"wsgi.file_wrapper": FileWrapper})
    result: Any = TracingMiddleware(app)(environ, lambda *_: None)
    assert type(result) is FileWrapper
    assert b"".join(result) == b"a file"
    assert spans() == []
    result.close()
    assert log == ["close"]
    assert len(spans()) == 1
    with serving_wsgi(TracingMiddleware(app)) as url:
        assert httpx.get(url).text == "a file"
        wait_for(spans, 2)


def test_the_application_is_the_same_with_and_without_it(spans: Spans) -> None:
    def outside(wrap: Any, path: str) -> Any:
        log: list[str] = []

        def app(environ: Any, start_response: Any) -> Any:
            log.append(environ["PATH_INFO"])
            if path == "/raise":
                raise Broken("outside")
            answer = {"/iterable": Answer(log), "/list": [b"a", b"b"], "/tuple": (b"c",), "/fail": Answer(log, 2)}
            start_response("200 OK", [*TEXT, ("X-A", "1"), ("X-A", "2")])
            return answer[path]

        with serving_wsgi(wrap(app)) as url:
            try:
                response = httpx.get(url + path)
            except httpx.HTTPError as error:
                return type(error), log
        headers = [pair for pair in response.headers.multi_items() if pair[0] != "date"]
        return response.status_code, headers, response.content, log

    for path in ("/iterable", "/list", "/tuple", "/fail", "/raise"):
        bare = outside(lambda app: app, path)
        for options in ({}, {"skip": "/*"}, {"durations": True}):
            assert outside(lambda app, options=options: TracingMiddleware(app, **options), path) == bare, path


def test_lengths_are_asked_as_before() -> None:
    """Servers make Content-Length of a single block."""
    for result in ([b"x"], (b"x",), {b"x": 1}):
        answer: Any = TracingMiddleware(lambda environ, start_response, result=result: result)(
            environment(), lambda *_: None
        )
        assert len(answer) == 1 and list(answer) == [b"x"]
    streamed: Any = TracingMiddleware(lambda environ, start_response: iter([b"x"]))(environment(), lambda *_: None)
    assert not hasattr(streamed, "__len__")


def test_an_unsampled_request_hands_its_decision_on_to_every_block() -> None:
    provider = fasttrace.TracerProvider(exporter="memory", sampler="always_off")
    seen: list[Any] = []

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [*TEXT])
        for _ in range(2):
            seen.append(fasttrace.inject({}).get("traceparent", ""))
            yield b"block"

    environ = environment(HTTP_TRACEPARENT=PARENT[:-1] + "0")
    call(TracingMiddleware(app, tracer=provider.get_tracer("tests")), environ)
    assert [text[3:35] for text in seen] == [PARENT[3:35]] * 2
    assert {text[-2:] for text in seen} == {"00"}
    assert provider.shutdown(60)


def test_a_request_passes_two_middlewares_as_one_span(spans: Spans) -> None:
    call(TracingMiddleware(TracingMiddleware(listed)))
    assert [span.name for span in spans()] == ["GET", "call"]


def test_baggage_and_other_formats_arrive(spans: Spans) -> None:
    seen: list[Any] = []

    def app(environ: Any, start_response: Any) -> Any:
        seen.append(dict(fasttrace.baggage.get_all()))
        start_response("200 OK", [*TEXT])
        return []

    call(TracingMiddleware(app), environment(HTTP_TRACEPARENT=PARENT, HTTP_BAGGAGE="tenant=acme"))
    assert seen == [{"tenant": "acme"}]
    assert spans()[0].parent_span_id == PARENT[36:52]
    call(TracingMiddleware(app), environment(HTTP_BAGGAGE="tenant=acme"))
    assert seen[1] == {"tenant": "acme"}
