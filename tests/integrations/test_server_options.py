"""What all servers are told alike: what to skip, which headers to record, whether to count durations."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

import fasttrace
from fasttrace import durations, metrics
from fasttrace.errors import ConfigurationError
from fasttrace.integrations import asgi, wsgi
from fasttrace.integrations._server import Server

SECRETS = {"authorization": "Bearer secret", "cookie": "session=secret", "x-api-key": "secret"}


@pytest.fixture(autouse=True)
def _no_durations() -> Iterator[None]:
    durations.clear()
    yield
    durations.clear()


@pytest.fixture
def provider() -> Iterator[fasttrace.TracerProvider]:
    made = fasttrace.TracerProvider(exporter="memory", control_file="none")
    yield made
    assert made.shutdown(60)


def ended(provider: fasttrace.TracerProvider) -> list[Any]:
    assert provider.flush(60)
    return list(provider.exporter.spans)  # type: ignore[attr-defined]


class Route:
    path = "/orders/{id}"


def request(path: str = "/", method: str = "GET", status: int = 200, tracer: Any = None, **options: Any) -> None:
    """One request to a bare ASGI application that also traces what it does."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["route"] = Route
        tracer.start_span("inside").end()
        headers = [(b"set-cookie", b"session=secret"), (b"x-kind", b"a"), (b"x-kind", b"b")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    async def send(message: Any) -> None:
        pass

    headers = [(b"host", b"shop.test"), *((name.encode(), value.encode()) for name, value in SECRETS.items())]
    scope = {"type": "http", "method": method, "path": path, "headers": headers, "query_string": b"sig=secret"}
    asyncio.run(asgi.TracingMiddleware(app, tracer=tracer, **options)(scope, send, send))  # type: ignore[arg-type]


def wsgi_request(path: str = "/", tracer: Any = None, **options: Any) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        tracer.start_span("inside").end()
        start_response("200 OK", [("Set-Cookie", "session=secret"), ("X-Kind", "a"), ("X-Kind", "b")])
        return [b""]

    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "wsgi.url_scheme": "http", "wsgi.version": (1, 0)}
    environ |= {"HTTP_HOST": "shop.test", "QUERY_STRING": "sig=secret"}
    environ |= {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in SECRETS.items()}
    result: Any = wsgi.TracingMiddleware(app, tracer=tracer, **options)(environ, lambda *_: None)
    getattr(result, "close", lambda: None)()


SKIPPED = {
    "/healthz": ["/healthz"],
    "/health*": ["/health", "/healthz", "/health/db"],
    "*.css": ["/a.css", "/a/b.css"],
    "/api/*/status": ["/api/v1/status", "/api/a/b/status"],
}
PATHS = ["/health", "/healthz", "/health/db", "/a.css", "/a/b.css", "/api/v1/status", "/api/a/b/status", "/", "/x+y"]


@pytest.mark.parametrize("pattern", SKIPPED)
def test_paths_are_skipped_whole_or_by_pattern(pattern: str) -> None:
    server = Server("asgi", lambda _: "", skip=pattern)
    assert [path for path in PATHS if server.skips(None, path)] == SKIPPED[pattern]
    several = Server("asgi", lambda _: "", skip=[pattern, "/x+y"])
    assert [path for path in PATHS if several.skips(None, path)] == [*SKIPPED[pattern], "/x+y"]


@pytest.mark.parametrize("make", [request, wsgi_request])
@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("FASTTRACE_SKIP_PATHS", "/health*, /readyz"),
        ("OTEL_PYTHON_EXCLUDED_URLS", "^http://shop.test/healthz$,readyz"),
    ],
)
def test_the_environment_says_what_is_skipped(
    provider: fasttrace.TracerProvider, monkeypatch: pytest.MonkeyPatch, make: Any, variable: str, value: str
) -> None:
    """And nothing that happens inside is a trace of its own."""
    monkeypatch.setenv(variable, value)
    tracer = provider.get_tracer("tests")
    make("/healthz", tracer=tracer)
    make("/readyz", tracer=tracer)
    assert ended(provider) == []
    make("/orders", tracer=tracer)
    make("/healthz", tracer=tracer, skip=())  # what is said in code goes before it
    assert len(ended(provider)) == 4


def test_a_skip_that_fails_skips_nothing(provider: fasttrace.TracerProvider) -> None:
    request(tracer=provider.get_tracer("tests"), skip=lambda scope: scope["no such key"])
    assert len(ended(provider)) == 2


def test_bad_regular_expressions_are_told_and_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_PYTHON_EXCLUDED_URLS", "(")
    with pytest.warns(RuntimeWarning, match="OTEL_PYTHON_EXCLUDED_URLS='\\('"):
        assert not Server("asgi", lambda _: "").skips({}, "(")
    monkeypatch.setenv("FASTTRACE_REQUEST_DURATIONS", "often")
    with pytest.raises(ConfigurationError, match="FASTTRACE_REQUEST_DURATIONS='often': use true or false"):
        Server("asgi", lambda _: "", skip=())


@pytest.mark.parametrize("make", [request, wsgi_request])
def test_no_secret_is_recorded_unless_its_header_was_listed(provider: fasttrace.TracerProvider, make: Any) -> None:
    tracer = provider.get_tracer("tests")
    make(tracer=tracer)
    assert "secret" not in repr([span.attributes for span in ended(provider)])
    make(tracer=tracer, capture_headers=["X-Kind", "Authorization"])
    attributes = max((span.attributes for span in ended(provider)), key=len)
    assert list(attributes["http.request.header.authorization"]) == ["Bearer secret"]
    assert list(attributes["http.response.header.x-kind"]) == ["a", "b"]
    assert "session" not in repr(attributes)


def test_headers_are_listed_in_the_environment_too(
    provider: fasttrace.TracerProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTTRACE_CAPTURE_HEADERS", "x-kind")
    wsgi_request(tracer=provider.get_tracer("tests"))
    assert "http.response.header.x-kind" in max((span.attributes for span in ended(provider)), key=len)


def histogram() -> dict[tuple[str, ...], float]:
    """Requests by method, route and status."""
    (family,) = text_string_to_metric_families(metrics.request_durations_text())
    assert (family.name, family.type) == ("http_server_request_duration_seconds", "histogram")
    names = ("http_request_method", "http_route", "http_response_status_code")
    return {
        tuple(sample.labels.get(name, "") for name in names): sample.value
        for sample in family.samples
        if sample.name.endswith("_count")
    }


@pytest.mark.parametrize("sampler", [0.0, 1.0])
def test_durations_count_every_request_sampled_or_not(sampler: float) -> None:
    provider = fasttrace.TracerProvider(exporter="memory", sampler=sampler, control_file="none")
    tracer = provider.get_tracer("tests")
    request(tracer=tracer)
    assert metrics.request_durations_text() == ""
    for _ in range(3):
        request(tracer=tracer, durations=True)
    request(tracer=tracer, durations=True, method="BREW", status=503)
    wsgi_request(tracer=tracer, durations=True)
    assert histogram() == {
        ("GET", "/orders/{id}", "200"): 3,
        ("_OTHER", "/orders/{id}", "503"): 1,
        ("GET", "", "200"): 1,
    }
    assert "http_server_request_duration_seconds_bucket" in metrics.prometheus_text()
    assert provider.shutdown(60)


def test_an_exception_counts_as_500(provider: fasttrace.TracerProvider) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        raise LookupError

    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "wsgi.url_scheme": "http"}
    with pytest.raises(LookupError):
        wsgi.TracingMiddleware(app, tracer=provider.get_tracer("tests"), durations=True)(environ, None)
    assert histogram() == {("GET", "", "500"): 1}


def test_buckets_are_those_of_the_semantic_conventions() -> None:
    for seconds in (0.001, 0.005, 0.0051, 0.3, 11.0):
        durations.record("GET", "/", 200, seconds)
    (family,) = text_string_to_metric_families(metrics.request_durations_text())
    buckets = {sample.labels["le"]: sample.value for sample in family.samples if sample.name.endswith("_bucket")}
    assert buckets == {
        "0.005": 2,
        "0.01": 3,
        "0.025": 3,
        "0.05": 3,
        "0.075": 3,
        "0.1": 3,
        "0.25": 3,
        "0.5": 4,
        "0.75": 4,
        "1.0": 4,
        "2.5": 4,
        "5.0": 4,
        "7.5": 4,
        "10.0": 4,
        "+Inf": 5,
    }
    (total,) = [sample.value for sample in family.samples if sample.name.endswith("_sum")]
    assert total == pytest.approx(11.3111)


def test_combinations_are_bounded_and_the_rest_is_one() -> None:
    for number in range(durations.MAX_SERIES + 7):
        durations.record("GET", f"/{number}", 200, 0.1)
    assert len(list(durations.series())) == durations.MAX_SERIES + 1
    (_, counts, total) = list(durations.series())[-1]
    assert (sum(counts), total) == (7, pytest.approx(0.7))
    assert 'http_server_request_duration_seconds_count{otel_metric_overflow="true"} 7' in metrics.prometheus_text()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_counts_for_itself() -> None:
    program = (
        "import os, signal, threading\n"
        "from fasttrace import durations\n"
        "durations.record('GET', '/', 200, 1.0)\n"
        "thread = threading.Thread(target=durations._lock.acquire)  # and never lets go\n"
        "thread.start()\n"
        "thread.join()\n"
        "if os.fork() == 0:\n"
        "    signal.alarm(30)\n"
        "    durations.record('GET', '/child', 200, 1.0)\n"
        "    os._exit(list(durations.series())[0][0] != ('GET', '/child', 200))\n"
        "raise SystemExit(os.waitstatus_to_exitcode(os.wait()[1]))\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
