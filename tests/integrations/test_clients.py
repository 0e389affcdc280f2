"""What every HTTP client promises: the same answers with and without tracing, one span each, and the headers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import origin
import pytest
from callers import CALLERS, Caller, closed_port
from loopback import Spans, serving, shown

import fasttrace
from fasttrace._core import InstrumentationScope, Tracer
from fasttrace._core.types import SpanData, SpanKind, StatusCode
from fasttrace.export import MemoryExporter
from fasttrace.integrations import _client, _layers, _secrets
from fasttrace.sampling import Rule, Rules, tail


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(origin.APP) as base:
        yield base


@pytest.fixture(params=CALLERS, ids=lambda kind: kind.name)
def caller(request: pytest.FixtureRequest) -> Caller:
    made: Caller = request.param()
    return made


def context(span: SpanData) -> str:
    return f"00-{span.trace_id}-{span.span_id}-03"


def test_request_is_a_client_span_and_its_context_is_sent_once(spans: Spans, caller: Caller, url: str) -> None:
    with caller.traced():
        status, body, _ = caller.get(f"{url}/echo")
    (span,) = spans()
    assert status == 200
    assert json.loads(body)["contexts"] == [context(span)]
    assert (span.name, span.kind, span.parent_span_id) == ("GET", SpanKind.CLIENT, "")
    assert span.attributes == {
        "http.request.method": "GET",
        "url.full": f"{url}/echo",
        "server.address": "127.0.0.1",
        "server.port": urlsplit(url).port,
        "http.response.status_code": 200,
        "network.protocol.version": "1.1",
    }
    assert span.status.status_code == StatusCode.UNSET
    assert span.scope.name.startswith("fasttrace.integrations.")
    assert _layers.opened == {}


def test_span_is_a_child_of_what_is_current_and_leaves_that_current(spans: Spans, caller: Caller, url: str) -> None:
    with caller.traced(), fasttrace.get_tracer("tests").start_as_current_span("outer") as current:
        caller.get(f"{url}/echo")
        assert fasttrace.current_span() is current
    outer, client = spans()
    assert (client.trace_id, client.parent_span_id) == (outer.trace_id, outer.span_id)


@pytest.mark.parametrize("code", [404, 503])
def test_4xx_and_5xx_are_errors_of_the_client(spans: Spans, caller: Caller, url: str, code: int) -> None:
    with caller.traced():
        assert caller.get(f"{url}/status/{code}")[0] == code
    (span,) = spans()
    assert span.status.status_code == StatusCode.ERROR
    assert (span.attributes["http.response.status_code"], span.attributes["error.type"]) == (code, str(code))


def test_url_shows_no_secrets(spans: Spans, caller: Caller, url: str) -> None:
    with caller.traced():
        caller.get(f"{url}/echo?token=s3cret&flag&x=%20#part")
    (span,) = spans()
    assert span.attributes["url.full"] == f"{url}/echo?token=REDACTED&flag&x=%20"


@pytest.mark.parametrize("path", ["/slow", None])
def test_exceptions_show_no_secrets_either(spans: Spans, caller: Caller, url: str, path: str | None) -> None:
    with caller.traced(), closed_port() as port:
        base = f"{url}{path}" if path else f"http://127.0.0.1:{port}/path"
        with pytest.raises(Exception) as raised:
            caller.get(f"{base}?a=1&token=s3cret&access_key=x", timeout=0.1)
    (span,) = spans()
    assert "s3cret" not in shown(span)
    assert (span.status.status_code, len(span.events)) == (StatusCode.ERROR, 1)
    if caller.name == "requests":
        assert path or "token=s3cret" in str(raised.value)
        assert path or "?a=1&token=REDACTED&access_key=REDACTED" in span.events[0].attributes["exception.message"]


def test_timeout_is_recorded_and_raised(spans: Spans, caller: Caller, url: str) -> None:
    with caller.traced(), pytest.raises(Exception) as raised:
        caller.get(f"{url}/slow", timeout=0.1)
    (span,) = spans()
    assert span.attributes["error.type"] == caller.timeout_type, raised.value
    assert span.status.status_code == StatusCode.ERROR
    assert [event.attributes["exception.type"] for event in span.events] == [caller.timeout_type]
    assert "http.response.status_code" not in span.attributes
    assert _layers.opened == {}


def test_refused_connection_is_recorded_and_raised(spans: Spans, caller: Caller) -> None:
    with caller.traced(), closed_port() as port, pytest.raises(Exception) as raised:
        caller.get(f"http://127.0.0.1:{port}/")
    (span,) = spans()
    assert span.attributes["error.type"] == caller.refused_type, raised.value
    assert span.attributes["server.port"] == port


def test_each_redirect_is_a_span_with_its_count_and_its_own_context(spans: Spans, caller: Caller, url: str) -> None:
    if not caller.follows:
        pytest.skip("follows no redirects")
    with caller.traced(), fasttrace.get_tracer("tests").start_as_current_span("outer"):
        status, body, _ = caller.get(f"{url}/redirect?count=2", method="POST")
    outer, *sent = spans()
    assert status == 200
    assert [span.attributes["http.response.status_code"] for span in sent] == [302, 302, 200]
    assert [span.attributes.get("http.request.resend_count") for span in sent] == [None, 1, 2]
    paths = ["/redirect?count=2", "/redirect?count=1", "/echo"]
    assert [span.attributes["url.full"].removeprefix(url) for span in sent] == paths
    # urllib3 keeps the method, as RFC 9110 allows.
    methods = ["POST"] * 3 if caller.name == "urllib3" else ["POST", "GET", "GET"]
    assert [span.attributes["http.request.method"] for span in sent] == [span.name for span in sent] == methods
    assert {span.parent_span_id for span in sent} == {outer.span_id}
    assert json.loads(body)["contexts"] == [context(sent[2])]


@pytest.mark.parametrize("how", ["beginnings", "function"])
def test_skipped_urls_get_neither_span_nor_headers(spans: Spans, caller: Caller, url: str, how: str) -> None:
    skip: Any = [f"{url}/echo"] if how == "beginnings" else lambda asked: asked.endswith("/echo")
    with caller.traced(skip=skip), fasttrace.get_tracer("tests").start_as_current_span("outer"):
        assert json.loads(caller.get(f"{url}/echo")[1])["contexts"] == []
        caller.get(f"{url}/status/200")
    assert [span.name for span in spans()] == ["outer", "GET"]


def test_a_function_that_fails_skips_nothing(spans: Spans, caller: Caller, url: str) -> None:
    with caller.traced(skip=lambda asked: 1 / 0):
        caller.get(f"{url}/echo")
    assert len(spans()) == 1


def test_only_listed_headers_are_recorded(spans: Spans, caller: Caller, url: str) -> None:
    with caller.traced(capture_headers=["X-Request", "x-answer"]):
        caller.get(f"{url}/echo", **{"X-Request": "7", "Authorization": "s3cret"})
    (span,) = spans()
    recorded = {name: value for name, value in span.attributes.items() if ".header." in name}
    assert recorded == {
        "http.request.header.x-request": ["7"],
        "http.response.header.x-request": ["7"],
        "http.response.header.x-answer": ["42"],
    }
    assert "s3cret" not in shown(span)


def test_listed_names_of_queries_are_recorded(
    spans: Spans, caller: Caller, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_secrets, "_allowed", frozenset())
    try:
        with caller.traced(capture_query=["page_token"]):
            caller.get(f"{url}/echo?page_token=abc&token=abc")
    finally:
        monkeypatch.undo()
        _secrets._verdict.cache_clear()
    (span,) = spans()
    assert span.attributes["url.full"] == f"{url}/echo?page_token=abc&token=REDACTED"


def test_unknown_methods_do_not_make_new_names(spans: Spans, caller: Caller, url: str) -> None:
    with caller.traced():
        assert json.loads(caller.get(f"{url}/echo", method="BREW")[1])["method"] == "BREW"
    (span,) = spans()
    assert (span.name, span.attributes["http.request.method"]) == ("HTTP", "_OTHER")
    assert span.attributes["http.request.method_original"] == "BREW"


def test_context_of_the_application_s_own_is_replaced(spans: Spans, caller: Caller, url: str) -> None:
    with caller.traced():
        body = caller.get(f"{url}/echo", TraceParent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")[1]
    (span,) = spans()
    assert json.loads(body)["contexts"] == [context(span)]


def test_unsampled_request_sends_its_decision_and_nothing_is_looked_at(
    caller: Caller, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_client.Client, "attributes", None)
    monkeypatch.setattr(_client.Client, "answered", None)
    fasttrace.configure(service_name="tests", exporter="none", sampler="always_off")
    try:
        with caller.traced():
            (sent,) = json.loads(caller.get(f"{url}/echo")[1])["contexts"]
        assert sent.endswith(("-00", "-02"))
    finally:
        fasttrace.shutdown(timeout=5)


def test_unconfigured_process_hands_on_what_came_in(caller: Caller, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_client, "get_tracer", lambda name, version: Tracer(InstrumentationScope(name)))
    came = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    with caller.traced(), fasttrace.use(fasttrace.extract({"traceparent": came})):
        assert json.loads(caller.get(f"{url}/echo")[1])["contexts"] == [came]
    with caller.traced():
        assert json.loads(caller.get(f"{url}/echo")[1])["contexts"] == []


def test_head_rules_see_what_a_request_asks_for(caller: Caller, url: str) -> None:
    exporter = MemoryExporter()
    rules = Rules([Rule(attributes={"url.full": "*/echo"}, sample=True)], default=False)
    fasttrace.configure(service_name="tests", exporter=exporter, sampler=rules)
    try:
        with caller.traced():
            caller.get(f"{url}/status/200")
            caller.get(f"{url}/echo")
        assert fasttrace.flush(60)
        assert [span.attributes["url.full"] for span in exporter.spans] == [f"{url}/echo"]
    finally:
        fasttrace.shutdown(timeout=5)


def test_an_answer_may_say_that_the_callee_keeps_its_part(caller: Caller, url: str) -> None:
    exporter = MemoryExporter()
    fasttrace.configure(service_name="tests", exporter=exporter, tail=[tail.attribute("never")])
    try:
        for trusting in (False, True):
            with caller.traced(trace_response=trusting):
                caller.get(f"{url}/trusted")
        assert fasttrace.flush(60)
        assert [span.attributes["fasttrace.keep_reason"] for span in exporter.spans] == ["callee"]
    finally:
        fasttrace.shutdown(timeout=5)


def test_everything_is_as_without_tracing(spans: Spans, caller: Caller, url: str) -> None:
    def outcome(path: str, **options: Any) -> Any:
        try:
            status, body, headers = caller.get(url + path, **options)
        except Exception as error:
            causes = [type(error)]
            while error.__cause__ is not None or error.__context__ is not None:
                error = error.__cause__ or error.__context__  # type: ignore[assignment]
                causes.append(type(error))
            return causes
        if body.startswith("{"):
            body = {name: value for name, value in json.loads(body).items() if name != "contexts"}  # type: ignore[assignment]
        # A context more makes the echo longer.
        left_out = ("date", "content-length")
        return status, body, [(name.lower(), value) for name, value in headers if name.lower() not in left_out]

    def outcomes() -> list[Any]:
        paths = ["/echo?a=1&a=2", "/status/204", "/status/404", "/status/500", "/stream", "/redirect", "/nowhere"]
        with_headers = {"X-Request": "1", "Cookie": "a=b", "Authorization": "Bearer x"}
        return [
            *(outcome(path) for path in paths),
            outcome("/echo", method="PUT", **with_headers),
            outcome("/slow", timeout=0.1),
            outcome("", method="GET"),
        ]

    without = outcomes()
    with caller.traced():
        traced = outcomes()
    assert traced == without
    assert len(spans()) >= 10


def test_instrument_is_idempotent_and_undone(spans: Spans, caller: Caller, url: str) -> None:
    with caller.traced():
        caller.module.instrument()
        caller.get(f"{url}/echo")
        assert len(spans()) == 1
    caller.module.uninstrument()
    assert json.loads(caller.get(f"{url}/echo")[1])["contexts"] == []
    assert len(spans()) == 1
