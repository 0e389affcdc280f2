"""JaegerRemote against a real HTTP server that speaks Jaeger's JSON, well and badly."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from typing import Any

import pytest

from fasttrace import TracerProvider, sampling
from fasttrace.errors import ConfigurationError
from fasttrace.sampling import remote

PROBABILISTIC = {"strategyType": "PROBABILISTIC", "probabilisticSampling": {"samplingRate": 0.5}}
LIMITING = {"strategyType": "RATE_LIMITING", "rateLimitingSampling": {"maxTracesPerSecond": 2}}
OPERATIONS = {
    "strategyType": "PROBABILISTIC",
    "probabilisticSampling": {"samplingRate": 0.1},
    "rateLimitingSampling": None,
    "operationSampling": {
        "defaultSamplingProbability": 0.0,
        "defaultLowerBoundTracesPerSecond": 1.0,
        "perOperationStrategies": [
            {"operation": "GET /all", "probabilisticSampling": {"samplingRate": 1.0}},
            {"operation": "GET /none", "probabilisticSampling": {"samplingRate": 0}},
        ],
        "defaultUpperBoundTracesPerSecond": 0.0,
    },
}


class Jaeger:
    """The sampling endpoint: ``answer`` is an object, bytes, or what is done with the handler."""

    def __init__(self) -> None:
        self.answer: Any = PROBABILISTIC
        self.paths: list[str] = []
        jaeger = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                jaeger.paths.append(self.path)
                answer = jaeger.answer
                if callable(answer):
                    answer(self)
                    return
                self.respond(200, answer if isinstance(answer, bytes) else json.dumps(answer).encode())

            def respond(self, status: int, body: bytes, **headers: str) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


@pytest.fixture
def jaeger() -> Iterator[Jaeger]:
    server = Jaeger()
    yield server
    server.stop()


def until(holds: Callable[[], bool]) -> None:
    limit = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < limit
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("answer", "strategy"),
    [
        (PROBABILISTIC, "Probability(0.5)"),
        ({**PROBABILISTIC, "strategyType": 0}, "Probability(0.5)"),
        ({"probabilisticSampling": {"samplingRate": 0.5}}, "Probability(0.5)"),
        ({"strategyType": "PROBABILISTIC", "probabilisticSampling": {}}, "Probability(0.0)"),
        (LIMITING, "RateLimited(2.0)"),
        ({**LIMITING, "strategyType": 1}, "RateLimited(2.0)"),
        (OPERATIONS, "PerOperation(0.0, lower_bound=1.0, 2 operations)"),
        ({**OPERATIONS, "strategyType": 0}, "PerOperation(0.0, lower_bound=1.0, 2 operations)"),
    ],
)
def test_every_kind_of_strategy_is_understood(jaeger: Jaeger, answer: Any, strategy: str) -> None:
    jaeger.answer = answer
    sampler = sampling.JaegerRemote(jaeger.url, "shop front")
    assert sampler.poll()
    assert repr(sampler.strategy) == sampler.state()["remote"]["strategy"] == strategy
    assert jaeger.paths == ["/sampling?service=shop+front"]


def test_spans_start_the_asking_and_the_answer_decides(jaeger: Jaeger, bound: Any) -> None:
    jaeger.answer = {"strategyType": 0, "probabilisticSampling": {"samplingRate": 1}}
    sampler = sampling.JaegerRemote(jaeger.url, "shop", interval=3600, initial=sampling.AlwaysOff())
    traced = bound(sampler)
    assert jaeger.paths == []
    assert not traced.root().sampled
    until(lambda: traced.root().sampled)
    assert traced.root().trace_state.to_header() == "ot=th:0"
    assert not traced.child(traced.core.context.SpanContext(7, 9, False, 0)).sampled
    assert len(jaeger.paths) == 1


def test_it_asks_again_after_the_interval_while_spans_begin(jaeger: Jaeger, bound: Any) -> None:
    sampler = sampling.JaegerRemote(jaeger.url, "shop", interval=0.02)
    traced = bound(sampler)
    traced.root()
    until(lambda: sampler.polls == 1)
    jaeger.answer = LIMITING

    def changed() -> bool:
        traced.root()
        return repr(sampler.strategy) == "RateLimited(2.0)"

    until(changed)
    polls = sampler.polls
    time.sleep(0.2)
    assert sampler.polls <= polls + 1  # no spans, no questions


def test_operations_have_their_own_probability_and_a_lower_bound(jaeger: Jaeger, bound: Any, clock: Any) -> None:
    jaeger.answer = OPERATIONS
    sampler = sampling.JaegerRemote(jaeger.url, "shop", interval=1e6)
    sampler.poll()
    traced = bound(sampler)
    for name in ("GET /none", "GET /other"):
        assert [traced.root(name).sampled for _ in range(3)] == [True, False, False]
        clock.advance(1)
        assert [traced.root(name).sampled for _ in range(3)] == [True, False, False]
    spans = [traced.root("GET /all") for _ in range(5)]
    assert {span.trace_state.to_header() for span in spans if span.sampled} == {"ot=th:0"}
    assert len(spans) == 5
    for number in range(3000):
        traced.root(f"GET /{number}")
    assert len(sampler.strategy._buckets) <= 2003


BAD: dict[str, Any] = {
    "no json": b"<html>",
    "not utf-8": b"\xff",
    "a list": [],
    "another type": {"strategyType": "SOMETIMES"},
    "true": {"strategyType": True, "rateLimitingSampling": {"maxTracesPerSecond": 2}},
    "no strategy": {"strategyType": "RATE_LIMITING", "rateLimitingSampling": None},
    "a ratio of 1.5": {"probabilisticSampling": {"samplingRate": 1.5}},
    "not a number": b'{"probabilisticSampling": {"samplingRate": NaN}}',
    "endless": b'{"strategyType": 1, "rateLimitingSampling": {"maxTracesPerSecond": Infinity}}',
    "text": {"probabilisticSampling": {"samplingRate": "0.5"}},
    "negative": {"strategyType": 1, "rateLimitingSampling": {"maxTracesPerSecond": -1}},
    "operations": {"operationSampling": {"perOperationStrategies": {}}},
    "operation": {"operationSampling": {"perOperationStrategies": [{"operation": 7}]}},
    "deep": b"[" * 100_000,
    "too long": b" " * (remote.MAX_ANSWER_BYTES + 1),
    "not found": lambda handler: handler.respond(404, b"no such service"),
    "an error": lambda handler: handler.respond(500, json.dumps(PROBABILISTIC).encode()),
    "a redirect": lambda handler: handler.respond(302, b"", location="http://127.0.0.1:9/"),
    "cut off": lambda handler: handler.connection.close(),
}


@pytest.mark.parametrize("answer", BAD.values(), ids=BAD)
def test_a_bad_answer_keeps_the_last_strategy(jaeger: Jaeger, answer: Any) -> None:
    sampler = sampling.JaegerRemote(jaeger.url, "shop")
    assert sampler.poll()
    jaeger.answer = answer
    assert not sampler.poll()
    assert repr(sampler.strategy) == "Probability(0.5)"
    state = sampler.state()
    assert state["remote"]["last_error"]
    assert state["changes"] == 1
    jaeger.answer = PROBABILISTIC
    assert sampler.poll()
    assert sampler.state()["remote"]["last_error"] is None


def test_an_answer_that_drips_ends_at_the_timeout(jaeger: Jaeger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "TIMEOUT_SECONDS", 0.3)
    stop = threading.Event()

    def drip(handler: Any) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            while not stop.wait(0.05):
                handler.wfile.write(b" ")
        except OSError:
            pass

    jaeger.answer = drip
    try:
        assert not sampling.JaegerRemote(jaeger.url, "shop").poll()
    finally:
        stop.set()


def test_a_server_that_is_away_is_logged_once_and_not_for_every_question(
    lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from fasttrace import _log

    monkeypatch.setattr(_log, "_last", {})
    sampler = sampling.JaegerRemote("http://127.0.0.1:9", "shop")
    for _ in range(3):
        assert not sampler.poll()
    assert len(lines) == 1
    assert "http://127.0.0.1:9/sampling gives no strategy" in lines[0] and "Probability(0.001) stays" in lines[0]


def test_one_thread_at_a_time_asks(jaeger: Jaeger, bound: Any) -> None:
    release = threading.Event()

    def wait(handler: Any) -> None:
        release.wait(20)
        handler.respond(200, json.dumps(PROBABILISTIC).encode())

    jaeger.answer = wait
    sampler = sampling.JaegerRemote(jaeger.url, "shop", interval=0.001)
    traced = bound(sampler)
    traced.root()
    until(lambda: len(jaeger.paths) == 1)
    for _ in range(50):
        traced.root()
        time.sleep(0.001)
    assert len(jaeger.paths) == 1
    release.set()
    until(lambda: sampler.polls == 1)


def test_the_thread_ends_with_its_sampler(jaeger: Jaeger, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()
    plain = remote._serve

    def serve(*arguments: Any) -> None:
        plain(*arguments)
        ended.set()

    monkeypatch.setattr(remote, "_serve", serve)
    samplers = [sampling.JaegerRemote(jaeger.url, "shop")]
    samplers[0].wake(time.monotonic_ns())
    until(lambda: samplers[0].polls == 1)
    samplers.clear()
    gc.collect()
    assert ended.wait(60)


PROGRAM = """
import sys
library, url = sys.argv[1:]
if library == "gevent":
    from gevent import monkey
    monkey.patch_all()
else:
    import eventlet
    eventlet.monkey_patch()
import os, time
from fasttrace import sampling
sampler = sampling.JaegerRemote(url, "shop", interval=0.001)
counts = []
for number in range(12):
    sampler.wake(time.monotonic_ns())
    while sampler.polls <= number or sampler._polling:
        time.sleep(0.002)
    time.sleep(0.002)
    counts.append(len(os.listdir("/proc/self/fd")))
assert repr(sampler.strategy) == "Probability(0.5)", sampler.last_error
assert counts[-1] <= counts[1], counts
"""


@pytest.mark.servers
@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="needs /proc")
@pytest.mark.parametrize("library", ["gevent", "eventlet"])
def test_with_patched_sockets_it_asks_and_leaves_no_files_open(jaeger: Jaeger, library: str) -> None:
    if find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    program = [sys.executable, "-W", "ignore", "-c", PROGRAM, library, jaeger.url]
    subprocess.run(program, check=True, timeout=60, stderr=subprocess.DEVNULL)


def test_the_same_answer_changes_nothing_and_another_is_logged(jaeger: Jaeger, lines: list[str]) -> None:
    jaeger.answer = LIMITING
    sampler = sampling.JaegerRemote(jaeger.url, "shop")
    sampler.poll()
    strategy = sampler.strategy
    sampler.poll()
    assert sampler.strategy is strategy
    jaeger.answer = PROBABILISTIC
    sampler.poll()
    assert [line.partition("says ")[2] for line in lines] == ["RateLimited(2.0) for shop", "Probability(0.5) for shop"]
    assert sampler.state()["changes"] == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_asks_when_it_traces_and_not_before(jaeger: Jaeger, bound: Any) -> None:
    sampler = sampling.JaegerRemote(jaeger.url, "shop", interval=0.1)
    traced = bound(sampler)
    traced.root()
    until(lambda: sampler.polls == 1)

    def in_child(work: Callable[[], bool]) -> int:
        child = os.fork()
        if child == 0:
            code = 9
            try:
                code = 0 if work() else 1
            finally:
                os._exit(code)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    asked = len(jaeger.paths)

    def idle() -> bool:
        time.sleep(0.3)
        return sampler.polls == 1

    assert in_child(idle) == 0
    assert len(jaeger.paths) == asked

    def traces() -> bool:
        limit = time.monotonic() + 60
        while sampler.polls == 1 and time.monotonic() < limit:
            traced.root()
            time.sleep(0.01)
        return sampler.polls > 1

    assert in_child(traces) == 0
    assert len(jaeger.paths) > asked


def test_what_is_traced_of_the_question_is_left_out(jaeger: Jaeger, monkeypatch: pytest.MonkeyPatch) -> None:
    import fasttrace._core as core

    sampled: list[bool] = []
    plain = remote._fetch

    def traced(url: str, service: str) -> bytes:
        with provider.get_tracer("http").start_as_current_span("GET") as span:
            sampled.append(span.sampled)
            return plain(url, service)

    monkeypatch.setattr(remote, "_fetch", traced)
    provider = TracerProvider(sampler="parentbased_always_on", exporter="none")
    assert sampling.JaegerRemote(jaeger.url, "shop").poll()
    assert sampled == [False]
    assert core.current_node() is None


def test_the_service_is_the_providers_unless_given(jaeger: Jaeger) -> None:
    for given, expected in ((None, "shop"), ("other", "other")):
        sampler = sampling.JaegerRemote(jaeger.url, given)
        TracerProvider(service_name="shop", sampler=sampling.ParentBased(sampler), exporter="none")
        assert sampler.service_name == expected


@pytest.mark.parametrize(
    "url", ["localhost:5778", "ftp://host", "http://", "http://user:secret@host/sampling", "http://host/?a=b", 7]
)
def test_a_url_that_can_not_be_used_is_refused_without_its_secrets(url: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"url=.*http://localhost:5778/sampling") as refused:
        sampling.JaegerRemote(url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("interval", [0, -1, "60", True])
def test_an_interval_that_is_none_is_refused(interval: Any) -> None:
    with pytest.raises(ConfigurationError, match="interval="):
        sampling.JaegerRemote("http://localhost:5778", interval=interval)
