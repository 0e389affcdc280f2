"""Chosen without code: entry points, ``opentelemetry-instrument``, with the SDK beside it and without."""

from __future__ import annotations

import os
import sys
import textwrap
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Sampler
from succeeding import succeed

from fasttrace.opentelemetry import FasttracePropagator, FasttraceRuntimeContext, configurator, plugins

pytest.importorskip("opentelemetry.instrumentation.auto_instrumentation")

GROUPS = ("configurator", "context", "distro", "id_generator", "propagator", "tracer_provider", "traces_sampler")


def named(group: str) -> Any:
    (found,) = entry_points(group=f"opentelemetry_{group}", name="fasttrace")
    return found.load()


def test_every_plug_in_is_what_its_group_asks_for() -> None:
    from opentelemetry.instrumentation.distro import BaseDistro

    found = {group: named(group) for group in GROUPS}
    assert found["configurator"] is configurator.FasttraceConfigurator
    assert found["context"] is FasttraceRuntimeContext
    assert found["propagator"] is FasttracePropagator
    assert issubclass(found["propagator"], TextMapPropagator)
    assert issubclass(found["distro"], BaseDistro)
    assert issubclass(found["id_generator"], IdGenerator)
    assert isinstance(found["traces_sampler"]("10%"), Sampler)
    generator = found["id_generator"]()
    assert 0 < generator.generate_trace_id() < 1 << 128
    assert generator.is_trace_id_random()


def test_no_variable_is_declared_that_others_declare_too() -> None:
    ours = [entry for entry in entry_points(group="opentelemetry_environment_variables") if "fasttrace" in entry.value]
    assert ours == [], "opentelemetry-instrument would fail beside opentelemetry-sdk"


@pytest.fixture
def instrumented(tmp_path: Path) -> Any:
    """Runs a program under ``opentelemetry-instrument`` and gives what it printed."""

    def run(text: str, *, sdk: bool = True, **environment: str) -> str:
        (tmp_path / "app.py").write_text(textwrap.dedent(text))
        unset = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "FASTTRACE_"))}
        command = [
            sys.executable,
            "-c",
            "import sys; from opentelemetry.instrumentation.auto_instrumentation import initialize; "
            + ("" if sdk else "sys.modules['opentelemetry.sdk'] = None; ")
            + "initialize(swallow_exceptions=False); exec(open('app.py').read())",
        ]
        variables = {
            **unset,
            "FASTTRACE_IMPL": os.environ.get("FASTTRACE_IMPL", ""),
            "FASTTRACE_UNDELIVERED_DIR": "none",
            "PYTHONPATH": str(tmp_path),
            **environment,
        }
        done = succeed(command, cwd=tmp_path, env=variables)
        return done.stdout + done.stderr

    return run


SHOW = """
    from opentelemetry import metrics, trace
    from opentelemetry._logs import get_logger_provider
    for found in (trace.get_tracer_provider(), metrics.get_meter_provider(), get_logger_provider()):
        print(type(found).__module__.split("._")[0])
    provider = trace.get_tracer_provider()
    print(repr(provider.sampler), provider.resource.attributes.get("telemetry.auto.version") is not None)
    with trace.get_tracer("x").start_as_current_span("hello"):
        pass
    """


def test_traces_are_ours_and_metrics_and_logs_the_sdks(instrumented: Any) -> None:
    printed = instrumented(
        SHOW,
        OTEL_TRACES_EXPORTER="none",
        OTEL_METRICS_EXPORTER="none",
        OTEL_LOGS_EXPORTER="none",
        OTEL_TRACES_SAMPLER="traceidratio",
        OTEL_TRACES_SAMPLER_ARG="0.5",
    )
    assert printed.splitlines() == [
        "fasttrace.opentelemetry.provider",
        "opentelemetry.sdk.metrics",
        "opentelemetry.sdk",
        "TraceIdRatio(0.5) True",
    ]


def test_without_the_sdk_there_are_traces_only(instrumented: Any) -> None:
    printed = instrumented(SHOW, sdk=False, OTEL_TRACES_EXPORTER="console").splitlines()
    assert printed[:3] == ["fasttrace.opentelemetry.provider", "opentelemetry.metrics", "opentelemetry"]
    assert "hello" in printed[-1], "our own line for each span"


def test_the_console_prints_what_the_sdk_prints(instrumented: Any) -> None:
    printed = instrumented(SHOW, OTEL_TRACES_EXPORTER="console")
    assert '"name": "hello"' in printed
    assert '"parent_id": null' in printed


def test_a_sampler_and_an_id_generator_are_found_by_name(instrumented: Any) -> None:
    printed = instrumented(
        SHOW,
        OTEL_TRACES_EXPORTER="none",
        OTEL_TRACES_SAMPLER="fasttrace",
        OTEL_TRACES_SAMPLER_ARG="always_off",
        OTEL_PYTHON_ID_GENERATOR="fasttrace",
    )
    assert "FasttraceSampler" in printed
    printed = instrumented(SHOW, OTEL_TRACES_EXPORTER="none", OTEL_TRACES_SAMPLER="nowhere")
    assert "OTEL_TRACES_SAMPLER=nowhere" in printed
    assert "ParentBased(AlwaysOn())" in printed


def test_spans_reach_a_receiver(instrumented: Any, receiver: Any) -> None:
    instrumented(
        SHOW,
        OTEL_TRACES_EXPORTER="otlp",
        OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
        OTEL_EXPORTER_OTLP_ENDPOINT=receiver.base,
    )
    assert [line[3] for line in receiver.spans(1)] == ["hello"]


@pytest.mark.parametrize(
    ("text", "protocol", "expected"),
    [
        (None, None, (None, [])),
        ("none", None, ("none", [])),
        ("otlp", "http/protobuf", ("OTLPExporter", [])),
        ("otlp", "grpc", ("OTLPGrpcExporter", [])),
        ("otlp", None, ("OTLPGrpcExporter", [])),  # as with the SDK
        ("otlp_proto_http", None, ("OTLPExporter", [])),
        ("zipkin_json", None, ("zipkin", [])),
        ("otlp_proto_http,console", None, ("OTLPExporter", ["console"])),
        ("console", None, ("none", ["console"])),
        ("own", None, ("none", ["own"])),
    ],
)
def test_the_variable_names_exporters(
    text: str | None, protocol: str | None, expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.grpc")
    for name, value in (("OTEL_TRACES_EXPORTER", text), ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    native, foreign = configurator.chosen_exporters(())
    assert (native if isinstance(native, str | None) else type(native).__name__, foreign) == expected


def test_a_sampler_of_ours_by_name_is_read_by_us(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("parentbased_always_on", "traceidratio", "production", "0.1"):
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", name)
        assert plugins.chosen_sampler() is None


def test_the_distribution_has_our_configurator_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_PYTHON_CONFIGURATOR", raising=False)
    named("distro")().configure()
    assert os.environ["OTEL_PYTHON_CONFIGURATOR"] == "fasttrace"
    monkeypatch.setenv("OTEL_PYTHON_CONFIGURATOR", "other")
    named("distro")().configure()
    assert os.environ["OTEL_PYTHON_CONFIGURATOR"] == "other"


def test_the_variable_of_the_api_finds_our_provider(program: Any) -> None:
    printed = program(
        """
        from opentelemetry import trace
        with trace.get_tracer("x").start_as_current_span("a") as span:
            print(type(span).__module__, type(trace.get_tracer_provider()).__module__)
        """,
        OTEL_PYTHON_TRACER_PROVIDER="fasttrace",
        OTEL_PYTHON_CONTEXT="fasttrace",
        OTEL_TRACES_EXPORTER="none",
        OTEL_PROPAGATORS="fasttrace",
    )
    assert printed.split() == ["fasttrace.opentelemetry.span", "fasttrace.opentelemetry.provider"]
