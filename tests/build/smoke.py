"""What every wheel must do where it was installed: record, encode, decode, propagate, thread and fork, as the pure core does.

    FASTTRACE_IMPL=cython python tests/build/smoke.py
    FASTTRACE_IMPL=python python tests/build/smoke.py      # the pure wheel

Needs the installed package and nothing else; ends with 1 and a traceback where a promise does not hold.
"""

from __future__ import annotations

import importlib.machinery
import os
import platform
import sys
import sysconfig
import threading
import warnings
from types import ModuleType
from typing import Any

import fasttrace
from fasttrace import _core

WANTED = os.environ.get("FASTTRACE_IMPL")
THREADS = 4
TRACES = 500
ATTRIBUTES: dict[str, Any] = {
    "http.request.method": "GET",
    "http.response.status_code": 200,
    "text": "grüße, 世界, 🌍",
    "large": 2**62,
    "negative": -1,
    "ratio": 0.25,
    "truth": True,
    "list": ["a", "b"],
    "bytes": b"\x00\xff",
}


class Requests:
    """An exporter that keeps each batch as the bytes of its request."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    def export(self, batch: Any) -> None:
        self.bodies.append(batch.otlp)

    def flush(self, timeout: float) -> bool:
        return True

    def shutdown(self, timeout: float) -> None:
        pass


def plain(value: Any) -> Any:
    """A decoded span, and what is in it, as something that can be compared."""
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    names = getattr(type(value), "__slots__", ())
    return [plain(getattr(value, name)) for name in names] if names else value


def check_implementation() -> None:
    """The core that was asked for, every module of it, and all of it from this installation."""
    assert WANTED in ("cython", "python"), f"FASTTRACE_IMPL={WANTED!r}: say which core this must be"
    assert fasttrace.implementation()[0] == WANTED, fasttrace.implementation()
    endings = tuple(importlib.machinery.EXTENSION_SUFFIXES) if WANTED == "cython" else (".py",)
    for name, module in _core.load(WANTED)[2].items():
        assert (module.__file__ or "").endswith(endings), f"{name} comes from {module.__file__}"
    if hasattr(sys, "_is_gil_enabled") and sysconfig.get_config_var("Py_GIL_DISABLED"):
        assert not sys._is_gil_enabled(), "an extension has switched the GIL on"


def record(provider: Any) -> None:
    """Some traces from some threads at once, each a server's span with a failing child."""
    tracer = provider.get_tracer("smoke", "1.0")

    def work() -> None:
        for number in range(TRACES):
            with tracer.start_as_current_span(
                "GET /orders", kind=fasttrace.SpanKind.SERVER, attributes=ATTRIBUTES
            ) as root:
                root.add_event("cache.miss", {"key": number})
                with tracer.start_as_current_span("charge") as child:
                    child.add_link(root.get_span_context())
                    child.set_status(fasttrace.StatusCode.ERROR, "declined")

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert provider.flush(30), "what was recorded was not exported"


def check_spans(bodies: list[bytes], cores: list[dict[str, ModuleType]]) -> None:
    """Nothing is lost, parents are right, and both cores read the bytes alike."""
    read = [[span for body in bodies for span in modules["decode"].decode_request(body)] for modules in cores]
    spans = read[0]
    assert spans and plain(read[0]) == plain(read[-1])
    assert len(spans) == 2 * TRACES * THREADS, len(spans)
    assert len({span.span_id for span in spans}) == len(spans)
    roots = {span.span_id: span for span in spans if span.name == "GET /orders"}
    for span in spans:
        if span.name == "charge":
            assert roots[span.parent_span_id].trace_id == span.trace_id
    root = next(iter(roots.values()))
    encoded = [modules["otlp"].encode_attributes(ATTRIBUTES) for modules in cores]
    assert encoded[0] == encoded[-1]
    assert encoded[0] and dict(root.attributes) == ATTRIBUTES, root.attributes


def check_headers(cores: list[dict[str, ModuleType]]) -> None:
    """What one core writes into headers the other one reads."""
    writer, reader = cores[0], cores[-1]
    context = writer["context"].SpanContext(
        writer["ids"].generate_trace_id(), writer["ids"].generate_span_id(), trace_flags=1
    )
    text = writer["headers"].format_traceparent(context)
    assert text == f"00-{context.trace_id:032x}-{context.span_id:016x}-01"
    read = reader["headers"].decode_binary(writer["headers"].encode_binary(context))
    assert (read.trace_id, read.span_id) == (context.trace_id, context.span_id)
    headers = fasttrace.inject({}, context=fasttrace.extract({"traceparent": text}))
    assert headers["traceparent"] == text, headers


def check_fork(ids: ModuleType) -> bool:
    """A child draws other ids than its parent; where processes fork."""
    if not hasattr(os, "fork"):
        return False
    warnings.filterwarnings("ignore", "This process .* is multi-threaded")  # as it is in every program that traces
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        os.write(writing, b"%032x" % ids.generate_trace_id())
        os._exit(0)
    assert os.waitpid(process, 0)[1] == 0
    assert int(os.read(reading, 32), 16) != ids.generate_trace_id()
    return True


def main() -> None:
    check_implementation()
    cores = [_core.load(name)[2] for name in dict.fromkeys((WANTED, "python"))]
    exporter = Requests()
    provider = fasttrace.TracerProvider(exporter=exporter)
    record(provider)
    check_spans(exporter.bodies, cores)
    check_headers(cores)
    forked = check_fork(cores[0]["ids"])
    assert provider.shutdown(30)
    print(
        f"{WANTED} core on {platform.python_implementation()} {platform.python_version()} {sysconfig.get_platform()}: "
        f"{2 * TRACES * THREADS} spans, {'forked' if forked else 'no fork here'}, all well"
    )


if __name__ == "__main__":
    main()
