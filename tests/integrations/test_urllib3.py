"""urllib3: what is its own; the rest is in test_clients.py."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import origin
import pytest
import urllib3
from callers import closed_port
from loopback import Spans, serving

import fasttrace
from fasttrace.integrations.urllib3 import add_headers, instrument, uninstrument


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(origin.APP) as base:
        yield base


@pytest.fixture
def everywhere() -> Iterator[None]:
    instrument()
    yield
    uninstrument()


def contexts(manager: Any, url: str) -> list[str]:
    found: list[str] = manager.request("GET", f"{url}/echo").json()["contexts"]
    return found


def test_each_attempt_is_a_span(spans: Spans, everywhere: None, url: str) -> None:
    retries = urllib3.Retry(total=3, status_forcelist=[503], backoff_factor=0)
    with urllib3.PoolManager() as manager, fasttrace.get_tracer("tests").start_as_current_span("outer"):
        response = manager.request("GET", f"{url}/flaky/attempts?failures=2", retries=retries)
    outer, *sent = spans()
    assert [span.attributes["http.response.status_code"] for span in sent] == [503, 503, 200]
    assert [span.attributes.get("http.request.resend_count") for span in sent] == [None, 1, 2]
    assert {span.parent_span_id for span in sent} == {outer.span_id}
    assert response.json()["contexts"] == [f"00-{sent[2].trace_id}-{sent[2].span_id}-03"]


def test_each_attempt_to_connect_is_a_span_with_its_error(spans: Spans, everywhere: None) -> None:
    retries = urllib3.Retry(connect=2, backoff_factor=0)
    with closed_port() as port, urllib3.PoolManager() as manager, pytest.raises(urllib3.exceptions.MaxRetryError):
        manager.request("GET", f"http://127.0.0.1:{port}/", retries=retries)
    sent = spans()
    assert {span.attributes["error.type"] for span in sent} == {"urllib3.exceptions.NewConnectionError"}
    assert [span.attributes.get("http.request.resend_count") for span in sent] == [None, 1, 2]


def test_body_that_is_not_preloaded_is_not_waited_for(spans: Spans, everywhere: None, url: str) -> None:
    with urllib3.PoolManager() as manager:
        response = manager.request("GET", f"{url}/stream", preload_content=False)
        assert len(spans()) == 1
        assert b"".join(response.stream(4)) == b"0\n1\n2\n"
        response.release_conn()


def test_headers_of_the_manager_and_of_the_caller_stay_as_they_are(spans: Spans, everywhere: None, url: str) -> None:
    own, given = {"X-Request": "own"}, {"x-request": "given", "TraceParent": "00-1-1-00"}
    with urllib3.PoolManager(headers=own) as manager:
        assert manager.request("GET", f"{url}/echo").headers["x-request"] == "own"
        answer = manager.request("GET", f"{url}/echo", headers=given)
        assert answer.headers["x-request"] == "given"
        assert len(answer.json()["contexts"]) == 1
        mixed = urllib3.HTTPHeaderDict({"TraceParent": "00-1-1-00"})
        assert len(manager.request("GET", f"{url}/echo", headers=mixed).json()["contexts"]) == 1
    assert (own, given) == ({"X-Request": "own"}, {"x-request": "given", "TraceParent": "00-1-1-00"})
    assert list(mixed.items()) == [("TraceParent", "00-1-1-00")]


def test_headers_are_added_to_a_copy() -> None:
    given = {"A": "1", "TraceParent": "x", b"tracestate": b"y"}
    assert add_headers(given, {"traceparent": "z", "tracestate": "w"}) == {
        "A": "1",
        "traceparent": "z",
        "tracestate": "w",
    }
    assert given == {"A": "1", "TraceParent": "x", b"tracestate": b"y"}
    assert add_headers(MappingProxyType({"A": "1"}), {"b": "2"}) == {"A": "1", "b": "2"}
    assert add_headers(None, {"b": "2"}) == {"b": "2"}


def test_one_manager_alone_can_be_traced(spans: Spans, url: str) -> None:
    with urllib3.PoolManager() as before, urllib3.PoolManager() as fresh, urllib3.PoolManager() as other:
        contexts(before, url)
        for manager in (before, fresh):
            instrument(manager)
            instrument(manager)
            assert len(contexts(manager, url)) == 1
        assert contexts(other, url) == []
        assert len(spans()) == 2
        for manager in (before, fresh):
            uninstrument(manager)
            uninstrument(manager)
            assert contexts(manager, url) == []
        assert "_new_pool" not in vars(fresh)


@pytest.mark.parametrize("process_first", [True, False])
def test_one_pool_alone_can_be_traced_also_in_a_process_that_is(spans: Spans, url: str, process_first: bool) -> None:
    with urllib3.HTTPConnectionPool("127.0.0.1", urlsplit(url).port) as pool:
        for start in [instrument, lambda: instrument(pool)][:: 1 if process_first else -1]:
            start()
        try:
            assert len(pool.request("GET", "/echo").json()["contexts"]) == 1
            assert len(spans()) == 1
            uninstrument(pool)
            assert len(pool.request("GET", "/echo").json()["contexts"]) == 1
            assert len(spans()) == 2
        finally:
            uninstrument()
        assert pool.request("GET", "/echo").json()["contexts"] == []
    assert [span.attributes["url.full"] for span in spans()] == [f"{url}/echo"] * 2


def test_what_a_proxy_is_asked_for_is_the_url(spans: Spans, everywhere: None, url: str) -> None:
    """The origin stands in for a proxy: it gets the absolute URL, and answers 404 as it has no such path."""
    with urllib3.ProxyManager(url) as manager:
        manager.request("GET", "http://elsewhere.test:81/echo?token=1")
    (span,) = spans()
    assert span.attributes["url.full"] == "http://elsewhere.test:81/echo?token=REDACTED"
    assert (span.attributes["server.address"], span.attributes["server.port"]) == ("elsewhere.test", 81)
