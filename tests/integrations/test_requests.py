"""requests: what is its own; the rest is in test_clients.py."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Iterator
from typing import Any

import origin
import pytest
from loopback import Spans, serving

requests = pytest.importorskip("requests")

traced = pytest.importorskip("fasttrace.integrations.requests")
instrument, uninstrument = traced.instrument, traced.uninstrument


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(origin.APP) as base:
        yield base


@pytest.fixture
def session() -> Iterator[Any]:
    with requests.Session() as made:
        made.trust_env = False
        yield made


@pytest.fixture
def everywhere() -> Iterator[None]:
    instrument()
    yield
    uninstrument()


def test_streamed_body_is_untouched_and_not_waited_for(spans: Spans, everywhere: None, session: Any, url: str) -> None:
    with session.get(f"{url}/stream", stream=True) as response:
        assert len(spans()) == 1
        assert list(response.iter_lines()) == [b"0", b"1", b"2"]
    assert len(spans()) == 1


def test_digest_authentication_sends_again(spans: Spans, everywhere: None, session: Any, url: str) -> None:
    response = session.get(f"{url}/digest", auth=requests.auth.HTTPDigestAuth("user", "hunter2"))
    first, second = spans()
    assert [span.attributes["http.response.status_code"] for span in (first, second)] == [401, 200]
    assert second.attributes["http.request.resend_count"] == 1
    assert response.json()["contexts"] == [f"00-{second.trace_id}-{second.span_id}-03"]


def test_one_session_alone_can_be_traced(spans: Spans, session: Any, url: str) -> None:
    with requests.Session() as other:
        other.trust_env = False
        instrument(session)
        instrument(session)
        assert len(session.get(f"{url}/echo").json()["contexts"]) == 1
        session.mount("http://", requests.adapters.HTTPAdapter())
        assert len(session.get(f"{url}/echo").json()["contexts"]) == 1
        assert other.get(f"{url}/echo").json()["contexts"] == []
        uninstrument(session)
        uninstrument(session)
        assert session.get(f"{url}/echo").json()["contexts"] == []
        assert "mount" not in vars(session)
    assert len(spans()) == 2


def test_session_and_process_traced_together_make_one_span(
    spans: Spans, everywhere: None, session: Any, url: str
) -> None:
    instrument(session)
    session.get(f"{url}/echo")
    assert len(spans()) == 1


def test_adapters_that_inherit_are_traced_and_those_that_do_not_are_left_alone(
    spans: Spans, everywhere: None, session: Any, url: str
) -> None:
    class Logging(requests.adapters.HTTPAdapter):  # type: ignore[misc]
        def send(self, request: Any, **options: Any) -> Any:
            return super().send(request, **options)

    class Answering(requests.adapters.BaseAdapter):  # type: ignore[misc]
        def send(self, request: Any, **options: Any) -> Any:
            response = requests.Response()
            response.status_code = 200
            response._content = request.headers.get("traceparent", "none").encode()
            return response

        def close(self) -> None:
            pass

    session.mount("http://", Logging())
    session.mount("answer://", Answering())
    assert len(session.get(f"{url}/echo").json()["contexts"]) == 1
    assert session.get("answer://me").text == "none"
    assert len(spans()) == 1
    instrument(session)
    assert session.get("answer://me").text.startswith("00-")
    assert [span.attributes.get("url.full") for span in spans()[1:]] == ["answer://me"]


def test_functions_look_like_those_they_replace_and_what_was_sent_can_be_pickled(
    everywhere: None, session: Any, url: str
) -> None:
    send = requests.adapters.HTTPAdapter.send
    assert list(inspect.signature(send).parameters)[:3] == ["self", "request", "stream"]
    assert send.__doc__ and send.__qualname__ == "HTTPAdapter.send"
    instrument(session)
    response = pickle.loads(pickle.dumps(session)).get(f"{url}/echo")
    sent = pickle.loads(pickle.dumps(response)).request.headers["traceparent"]
    assert type(sent) is str and sent == response.json()["contexts"][0]
    assert copy.copy(response.request).headers["traceparent"] == sent


def test_request_that_is_sent_again_by_hand_is_counted(spans: Spans, everywhere: None, session: Any, url: str) -> None:
    prepared = session.prepare_request(requests.Request("GET", f"{url}/echo"))
    for _ in range(2):
        session.send(prepared)
    session.get(f"{url}/echo")
    counts = [span.attributes.get("http.request.resend_count") for span in spans()]
    assert counts == [None, 1, None]
