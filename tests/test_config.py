"""Settings: where each value comes from, and what is said about a bad one."""

from __future__ import annotations

from typing import Any

import pytest

import fasttrace
from fasttrace import config
from fasttrace.config import values
from fasttrace.errors import ConfigurationError


def resolve(environ: dict[str, str] | None = None, **arguments: Any) -> config.Settings:
    return config.resolve(arguments, environ or {})


def test_an_argument_wins_over_ours_over_opentelemetrys_over_the_default() -> None:
    environ = {"FASTTRACE_SERVICE_NAME": "ours", "OTEL_SERVICE_NAME": "theirs"}
    assert resolve(environ, service_name="argument").service_name == "argument"
    assert resolve(environ).service_name == "ours"
    assert resolve({"OTEL_SERVICE_NAME": "theirs"}).service_name == "theirs"
    assert resolve().service_name is None
    sources = [resolve(environ, service_name="x").sources["service_name"], resolve(environ).sources["service_name"]]
    assert sources == ["argument", "FASTTRACE_SERVICE_NAME"]


MISTYPED = {
    "FASTTRACE_SERVICENAME": "FASTTRACE_SERVICE_NAME",
    "FASTTRACE_SAMPLE": "FASTTRACE_SAMPLER",
    "FASTTRACE_EXPORTERS": "FASTTRACE_EXPORTER",
    "FASTTRACE_MAX_QUEUE_SPAN": "FASTTRACE_MAX_QUEUE_SPANS",
    "FASTTRACE_SPOOL_DIRECTORY": "FASTTRACE_SPOOL_DIR",
}


@pytest.mark.parametrize("name", MISTYPED)
def test_an_unknown_variable_is_refused_with_the_nearest_name(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} is no setting of fasttrace: did you mean {MISTYPED[name]}"):
        resolve({name: "x"})


def test_a_name_like_no_other_gets_the_list() -> None:
    with pytest.raises(ConfigurationError, match=r"known are .*FASTTRACE_SAMPLER, .*"):
        resolve({"FASTTRACE_QQQQQ": "x"})


def test_what_kubernetes_injects_for_a_service_called_fasttrace_is_ignored() -> None:
    injected = {
        "FASTTRACE_SERVICE_HOST": "10.0.0.1",
        "FASTTRACE_SERVICE_PORT": "4318",
        "FASTTRACE_SERVICE_PORT_OTLP_HTTP": "4318",
        "FASTTRACE_PORT": "tcp://10.0.0.1:4318",
        "FASTTRACE_PORT_4318_TCP": "tcp://10.0.0.1:4318",
        "FASTTRACE_PORT_4318_TCP_PROTO": "tcp",
        "FASTTRACE_PORT_4318_TCP_PORT": "4318",
        "FASTTRACE_PORT_4318_TCP_ADDR": "10.0.0.1",
    }
    assert resolve(injected).service_name is None


def test_every_setting_is_a_known_name_with_a_meaning() -> None:
    for setting in config.SETTINGS:
        assert setting.meaning
        for variable, _ in setting.variables:
            config.check_names({variable: "x"})
    assert "FASTTRACE_IMPL" in config.known_names()


BAD = {
    "FASTTRACE_MAX_QUEUE_SPANS": ("many", "a whole number of at least 1"),
    "FASTTRACE_MAX_QUEUE_BYTES": ("0", "a size in bytes"),
    "FASTTRACE_SCHEDULE_DELAY": ("-1s", "a time of 0 or more"),
    "FASTTRACE_DISABLED": ("maybe", "true or false"),
    "FASTTRACE_EXPORTER": (
        "jaeger",
        "use otlp with OTEL_EXPORTER_OTLP_ENDPOINT=http://<jaeger>:4318, since Jaeger takes OTLP",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_value_names_the_variable_the_value_and_what_is_accepted(name: str) -> None:
    value, accepted = BAD[name]
    with pytest.raises(ConfigurationError) as caught:
        resolve({name: value})
    assert str(caught.value).startswith(f"{name}='{value}': use ")
    assert accepted in str(caught.value)


@pytest.mark.parametrize(
    ("argument", "value", "accepted"),
    [
        ("max_queue_spans", 0, "a whole number"),
        ("max_queue_spans", True, "a whole number"),
        ("schedule_delay", float("nan"), "a time"),
        ("exporter", object(), "an object with export"),
        ("exporter", "jaeger", "use otlp with .*; there are otlp, "),
        ("service_name", "", "text"),
    ],
)
def test_a_bad_argument_names_itself(argument: str, value: Any, accepted: str) -> None:
    with pytest.raises(ConfigurationError, match=accepted):
        resolve(**{argument: value})


@pytest.mark.parametrize("name", ["OTEL_CONFIG_FILE", "OTEL_EXPERIMENTAL_CONFIG_FILE"])
def test_opentelemetrys_configuration_file_is_told_to_be_unread(name: str) -> None:
    with pytest.warns(RuntimeWarning, match=f"{name} is not read: give what it says of traces as variables") as told:
        assert resolve({name: "otel.yaml", "OTEL_SERVICE_NAME": "shop"}).service_name == "shop"
    assert len(told) == 1
    resolve({name: " "})


def test_a_bad_value_of_opentelemetry_warns_and_counts_as_unset() -> None:
    with pytest.warns(RuntimeWarning, match="OTEL_BSP_MAX_QUEUE_SIZE='lots'"):
        assert resolve({"OTEL_BSP_MAX_QUEUE_SIZE": "lots"}).max_queue_spans == 10_000


GOOD: list[tuple[dict[str, str], str, Any]] = [
    ({"FASTTRACE_MAX_QUEUE_SPANS": "20k"}, "max_queue_spans", 20_000),
    ({"OTEL_BSP_MAX_QUEUE_SIZE": "7"}, "max_queue_spans", 7),
    ({"FASTTRACE_MAX_QUEUE_BYTES": "2 MiB"}, "max_queue_bytes", 2 << 20),
    ({"FASTTRACE_SPOOL_MAX_BYTES": "1GB"}, "spool_max_bytes", 10**9),
    ({"FASTTRACE_SPOOL_MAX_AGE": "12h"}, "spool_max_age", 43200.0),
    ({"FASTTRACE_SPOOL_MAX_AGE": "3d"}, "spool_max_age", 259200.0),
    ({"FASTTRACE_SPOOL_MAX_AGE": "none"}, "spool_max_age", None),
    ({"FASTTRACE_SCHEDULE_DELAY": "500ms"}, "schedule_delay", 0.5),
    ({"OTEL_BSP_SCHEDULE_DELAY": "250"}, "schedule_delay", 0.25),
    ({"OTEL_SDK_DISABLED": "TRUE"}, "disabled", True),
    ({"OTEL_TRACES_EXPORTER": "console"}, "exporter", "console"),
    ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, "exporter", "otlp"),
    ({}, "exporter", "spool"),
    ({"OTEL_PROPAGATORS": "tracecontext, baggage,tracecontext"}, "propagators", ["tracecontext", "baggage"]),
]


@pytest.mark.parametrize(("environ", "name", "value"), GOOD)
def test_values_are_read(environ: dict[str, str], name: str, value: Any) -> None:
    assert getattr(resolve(environ), name) == value


def test_span_limits_of_opentelemetry() -> None:
    limits = resolve(
        {
            "OTEL_ATTRIBUTE_COUNT_LIMIT": "10",
            "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "5",
            "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "100",
            "OTEL_SPAN_EVENT_COUNT_LIMIT": "3",
            "OTEL_SPAN_LINK_COUNT_LIMIT": "2",
        }
    ).span_limits
    assert (limits.max_span_attributes, limits.max_event_attributes, limits.max_events, limits.max_links) == (
        5,
        10,
        3,
        2,
    )
    assert (limits.max_attribute_length, limits.max_span_attribute_length) == (100, 100)


def test_configure_reads_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTTRACE_SERVICENAME", "shop")
    with pytest.raises(fasttrace.FasttraceError, match="did you mean FASTTRACE_SERVICE_NAME"):
        fasttrace.configure(exporter="memory")


def test_hours_are_times_too() -> None:
    assert values.seconds("1.5h") == 5400.0
