"""Jaeger takes the demo's traces and gives back what was recorded; it hands out strategies, and reads our files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import telling

from fasttrace._core.types import SpanData, SpanKind, StatusCode
from fasttrace.demo import SERVICES
from fasttrace.local.model import group_traces
from fasttrace.local.store import Store
from fasttrace.sampling.remote import JaegerRemote

HERE = Path(__file__).parent
REQUESTS = 20
RunDemo = Callable[[str], Path]
STRATEGIES = {
    "default_strategy": {"type": "probabilistic", "param": 0.25},
    "service_strategies": [
        {"service": "checkout", "type": "ratelimiting", "param": 7},
        {
            "service": "gateway",
            "type": "probabilistic",
            "param": 0.5,
            "operation_strategies": [{"operation": "GET /health", "type": "probabilistic", "param": 0.0}],
        },
    ],
}


@pytest.fixture(scope="module")
def jaeger(start_shared_peer: Any) -> Any:
    return start_shared_peer("jaeger", strategies=STRATEGIES)


@pytest.fixture(scope="module")
def run_demo(jaeger: Any, tmp_path_factory: pytest.TempPathFactory) -> RunDemo:
    """Run the demo with one of the cores, which sends to Jaeger, too; gives its spool."""
    spools: dict[str, Path] = {}

    def run(impl: str) -> Path:
        if impl not in spools:
            spools[impl] = tmp_path_factory.mktemp("spool")
            endpoint = f"http://127.0.0.1:{jaeger.ports['http']}"
            demo = ("demo", "--requests", str(REQUESTS), "--exit", "--spool", str(spools[impl]), "--endpoint", endpoint)
            _run("-m", "fasttrace", *demo, FASTTRACE_IMPL=impl)
        return spools[impl]

    return run


def _ask(jaeger: Any, path: str, **query: str) -> Any:
    url = f"http://127.0.0.1:{jaeger.ports['query']}/api/{path}?{urllib.parse.urlencode(query)}"
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.load(answer)["data"]


def _trace(jaeger: Any, trace_id: str, span_ids: set[str]) -> dict[str, dict[str, Any]]:
    """The spans of a trace by id, each with its ``service`` and ``resource``, once these are among them."""
    deadline = time.monotonic() + 60
    while True:
        try:
            (trace,) = _ask(jaeger, f"traces/{trace_id}")
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            trace = {"spans": [], "processes": {}}
        if span_ids <= {span["spanID"] for span in trace["spans"]} or time.monotonic() > deadline:
            break
        time.sleep(0.05)
    found = {}
    for span in trace["spans"]:
        process = trace["processes"][span["processID"]]
        found[span["spanID"]] = {**span, "service": process["serviceName"], "resource": _tags(process["tags"])}
    assert len(found) == len(trace["spans"]), "a span is there twice"
    assert span_ids <= set(found)
    return found


def _tags(tags: list[dict[str, Any]]) -> dict[str, Any]:
    assert len({tag["key"] for tag in tags}) == len(tags), tags
    return {tag["key"]: tag["value"] for tag in tags}


def _run(*command: str, **variables: str) -> str:
    run = subprocess.run(
        [sys.executable, *command], env={**os.environ, **variables}, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def _shown(value: Any) -> Any:
    """An attribute as Jaeger's tags have it: text, numbers and booleans as they are, all else as JSON."""
    if isinstance(value, (list, tuple, dict)):
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return value


def _check(span: SpanData, found: dict[str, Any]) -> None:
    """A span of Jaeger's answer is the one of the spool: what it says, and nothing besides."""
    assert found["operationName"] == span.name
    assert found["startTime"] == span.start_time_ns // 1000
    assert abs(found["duration"] - (span.end_time_ns - span.start_time_ns) / 1000) <= 1
    parents = [(ref["refType"], ref["traceID"], ref["spanID"]) for ref in found["references"]]
    assert parents == ([("CHILD_OF", span.trace_id, span.parent_span_id)] if span.parent_span_id else [])
    assert found["service"] == span.resource["service.name"]
    resource = {key: _shown(value) for key, value in span.resource.items() if key != "service.name"}
    assert found["resource"] == resource
    tags = {key: _shown(value) for key, value in span.attributes.items()}
    tags["otel.scope.name"] = span.scope.name
    if span.scope.version:
        tags["otel.scope.version"] = span.scope.version
    if span.kind is not SpanKind.INTERNAL:
        tags["span.kind"] = span.kind.name.lower()
    if span.status.status_code is StatusCode.ERROR:
        tags |= {"error": True, "otel.status_code": "ERROR"}
        if span.status.description:
            tags["otel.status_description"] = span.status.description
    assert {**_tags(found["tags"]), "span.kind": None} == {**tags, "span.kind": None}
    events = [(event.time_ns // 1000, {"event": event.name, **event.attributes}) for event in span.events]
    assert [(log["timestamp"], _tags(log["fields"])) for log in found["logs"]] == events
    # A busy machine may let a service end its span after its caller has the answer, which looks like another clock.
    assert all(warning.startswith("clock skew adjustment disabled") for warning in found["warnings"] or ())


@pytest.mark.engines(
    "jaeger",
    tested="the demo's traces by OTLP/HTTP: services, parents, tags, events and errors of every span by the query API",
)
def test_the_demo_is_in_jaeger_as_it_is_in_the_spool(jaeger: Any, run_demo: RunDemo, impl: str) -> None:
    traces = group_traces(Store(run_demo(impl)).spans())
    assert set(SERVICES) <= set(_ask(jaeger, "services"))
    assert len(traces) == REQUESTS
    failed = 0
    for trace_id, spans in traces.items():
        found = _trace(jaeger, trace_id, {span.span_id for span in spans})
        assert len(found) == len(spans)
        for span in spans:
            _check(span, found[span.span_id])
            failed += span.status.status_code is StatusCode.ERROR
        assert {span["service"] for span in found.values()} == set(SERVICES)
    assert failed
    tags = json.dumps({"http.response.status_code": "503"})
    searched = {trace["traceID"] for trace in _ask(jaeger, "traces", service="shipping", tags=tags, limit="1000")}
    assert searched & set(traces) == {
        span.trace_id
        for spans in traces.values()
        for span in spans
        if (span.resource["service.name"], span.attributes.get("http.response.status_code")) == ("shipping", 503)
    }


@pytest.mark.engines(
    "jaeger",
    tested="`fasttrace export --format jaeger` is what the query API answers; `--format otlp` is what it makes the same of",
)
def test_exported_files_are_what_jaeger_says_of_the_same_traces(jaeger: Any, run_demo: RunDemo, tmp_path: Path) -> None:
    spool = run_demo("cython")
    # With every kind of value, which the demo has not: as OTLP/JSON they are in Jaeger's hands on the way, too.
    _run(str(HERE / "telling.py"), FASTTRACE_EXPORTER="spool", FASTTRACE_SPOOL_DIR=str(spool))
    for form in ("jaeger", "otlp-json"):
        export = ("export", "--spool", str(spool), "--format", form, "--output", str(tmp_path / form))
        _run("-m", "fasttrace", *export)
    ours = json.loads((tmp_path / "jaeger").read_text())["data"]
    told = _telling_traces(spool)
    theirs = [trace for one in ours if one["traceID"] not in told for trace in _ask(jaeger, f"traces/{one['traceID']}")]
    assert len(theirs) == REQUESTS
    lines = (tmp_path / "otlp-json").read_bytes().splitlines()
    made = [trace for line in lines for trace in _transformed(jaeger, line)]
    assert _comparable(ours) == _comparable(made)
    assert _comparable([one for one in ours if one["traceID"] not in told]) == _comparable(theirs)


def _telling_traces(spool: Path) -> set[str]:
    return {span.trace_id for span in Store(spool).spans() if span.resource["service.name"] == "telling"}


def _transformed(jaeger: Any, body: bytes) -> Any:
    """What Jaeger makes of OTLP/JSON that is uploaded to its page."""
    request = urllib.request.Request(f"http://127.0.0.1:{jaeger.ports['query']}/api/transform", body)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)["data"]


def _comparable(traces: list[dict[str, Any]]) -> dict[str, Any]:
    """The spans by id, without what is only a matter of order and of names inside the file."""
    found = {}
    for trace in traces:
        for span in trace["spans"]:
            process = trace["processes"][span["processID"]]
            found[span["spanID"]] = {
                **{key: value for key, value in span.items() if key not in ("processID", "warnings")},
                "tags": _typed_tags(span["tags"]),
                "logs": [{**log, "fields": _typed_tags(log["fields"])} for log in span["logs"]],
                "process": (process["serviceName"], _typed_tags(process["tags"])),
            }
    return found


def _typed_tags(tags: list[dict[str, Any]]) -> dict[str, Any]:
    return {tag["key"]: (tag["type"], tag["value"]) for tag in tags}


@pytest.mark.engines("jaeger", tested="every kind of value by OTLP/gRPC with gzip, read back by the query API")
def test_every_kind_of_value_is_in_jaeger(jaeger: Any, impl: str) -> None:
    told = json.loads(
        _run(
            str(HERE / "telling.py"),
            FASTTRACE_IMPL=impl,
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{jaeger.ports['grpc']}",
            OTEL_EXPORTER_OTLP_PROTOCOL="grpc",
            OTEL_EXPORTER_OTLP_COMPRESSION="gzip",
        )
    )
    (trace_id, root_id), (_, child_id), _, consumer, _, remote = told["ids"]
    found = _trace(jaeger, trace_id, {span_id for of, span_id in told["ids"] if of == trace_id})
    tags = {tag["key"]: (tag["type"], tag["value"]) for tag in found[root_id]["tags"]}
    for key, value in telling.ATTRIBUTES.items():
        assert key in tags, (key, value, tags)
    assert tags["whole.most"] == ("int64", str(2**63 - 1)) and tags["whole.least"] == ("int64", str(-(2**63)))
    assert tags["text.beyond ASCII"] == ("string", telling.ATTRIBUTES["text.beyond ASCII"])
    assert tags["text.control"] == ("string", telling.ATTRIBUTES["text.control"])
    assert tags["fraction"] == ("float64", 0.1) and tags["yes"] == ("bool", True)
    child = found[child_id]
    assert [(log["timestamp"], _tags(log["fields"])["event"]) for log in child["logs"]] == [
        ((telling.start_ns(1) + offset) // 1000, name) for name, offset, _ in telling.SPANS[1]["events"]
    ]
    references = _trace(jaeger, consumer[0], {consumer[1]})[consumer[1]]["references"]
    linked = [(ref["refType"], ref["traceID"], ref["spanID"]) for ref in references]
    assert linked == [("FOLLOWS_FROM", *told["ids"][to]) for to, _ in telling.SPANS[3]["links"]]
    tags = _tags(_trace(jaeger, remote[0], {remote[1]})[remote[1]]["tags"])
    assert tags["w3c.tracestate"] == telling.REMOTE["tracestate"]


@pytest.mark.engines("jaeger", tested="remote sampling: strategies by service and by operation, and a change of them")
def test_strategies_are_taken_from_jaeger(jaeger: Any) -> None:
    url = f"http://127.0.0.1:{jaeger.ports['sampling']}"
    samplers = {name: JaegerRemote(url, name) for name in ("anything", "checkout", "gateway")}
    for sampler in samplers.values():
        assert sampler.poll(), sampler.last_error
    shown = {name: repr(sampler.strategy) for name, sampler in samplers.items()}
    assert shown == {
        "anything": "Probability(0.25)",
        "checkout": "RateLimited(7.0)",
        "gateway": "PerOperation(0.5, lower_bound=0.0, 1 operations)",
    }
    path = jaeger.folder / "strategies.json"
    path.write_text(json.dumps({"default_strategy": {"type": "probabilistic", "param": 0.75}}))
    deadline = time.monotonic() + 60
    while repr(samplers["anything"].strategy) == shown["anything"] and time.monotonic() < deadline:
        assert samplers["anything"].poll()
        time.sleep(0.05)
    assert repr(samplers["anything"].strategy) == "Probability(0.75)"
