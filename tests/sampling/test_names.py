"""Names, presets and variables: what configure takes, what is refused, what counts as unset."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fasttrace import TracerProvider, config, sampling
from fasttrace.errors import ConfigurationError

JAEGER = "endpoint=http://localhost:5778,pollingIntervalMs=5000,initialSamplingRate=0.25"


@pytest.mark.parametrize(
    ("value", "argument", "expected"),
    [
        (None, None, "ParentBased(AlwaysOn())"),
        ("always_on", None, "AlwaysOn()"),
        ("always_off", None, "AlwaysOff()"),
        ("0.25", None, "ParentBased(Probability(0.25))"),
        ("10%", None, "ParentBased(Probability(0.1))"),
        (0.5, None, "ParentBased(Probability(0.5))"),
        ("traceidratio", "0.1", "TraceIdRatio(0.1)"),
        ("traceidratio", "", "TraceIdRatio(1.0)"),
        ("parentbased_always_on", None, "ParentBased(AlwaysOn())"),
        ("parentbased_always_off", None, "ParentBased(AlwaysOff())"),
        ("parentbased_traceidratio", "0.2", "ParentBased(TraceIdRatio(0.2))"),
        ("PARENTBASED_TRACEIDRATIO", None, "ParentBased(TraceIdRatio(1.0))"),
        ("jaeger_remote", JAEGER, "JaegerRemote('http://localhost:5778/sampling')"),
        ("parentbased_jaeger_remote", JAEGER, "ParentBased(JaegerRemote('http://localhost:5778/sampling'))"),
        ("development", None, "AlwaysOn()"),
        ("production", None, "ParentBased(Probability(0.01))"),
    ],
)
def test_samplers_have_the_names_that_opentelemetry_gave_them(value: Any, argument: Any, expected: str) -> None:
    assert repr(sampling.parse(value, argument)) == expected


def test_the_argument_of_jaegers_sampler_is_opentelemetrys() -> None:
    sampler: Any = sampling.parse("jaeger_remote", JAEGER)
    assert (sampler.interval, repr(sampler.initial)) == (5.0, "Probability(0.25)")
    sampler = sampling.parse("jaeger_remote", "endpoint=http://jaeger:5778/sampling")
    assert (sampler.interval, repr(sampler.initial)) == (60.0, "Probability(0.001)")


@pytest.mark.parametrize("value", ["sometimes", "150%", "", object(), "parentbased_", True, 1.5, "nan", "1_0"])
def test_an_unknown_sampler_is_refused_with_what_is_accepted(value: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"sampler=.*(always_on|from 0 to 1)"):
        sampling.parse(value)


@pytest.mark.parametrize(
    ("value", "near"),
    [("alwayson", "always_on"), ("parent_based_always_on", "parentbased_always_on"), ("prodction", "production")],
)
def test_a_mistyped_name_is_refused_with_the_nearest(value: str, near: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"did you mean '{near}'"):
        sampling.parse(value)


@pytest.mark.parametrize(
    "argument",
    [None, "", "http://localhost:5778", "endpoint=", "endpoint=x", "endpoint=http://h,pollingIntervalMs=x",
     "endpoint=http://h,pollingIntervalMs=0", "endpoint=http://h,initialSamplingRate=2", "endpoint=http://h,other=1"],
)  # fmt: skip
def test_a_bad_argument_of_jaegers_sampler_is_refused(argument: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"sampler_argument=.*endpoint=http://host:5778/sampling"):
        sampling.parse("jaeger_remote", argument)


# --- settings


@pytest.fixture
def settled() -> Callable[..., Any]:
    def settle(sampler: Any = None, resource: Any = None, **environ: str) -> tuple[str, tuple[str, ...]]:
        settings = config.resolve({"sampler": sampler}, environ)
        found, tail = sampling.from_settings(settings, resource or {})
        return repr(found), tail

    return settle


def test_a_bad_variable_of_opentelemetrys_warns_and_counts_as_unset(settled: Any) -> None:
    with pytest.warns(RuntimeWarning, match=r"OTEL_TRACES_SAMPLER='sometimes': use always_on.*it is ignored"):
        assert settled(OTEL_TRACES_SAMPLER="sometimes")[0] == "ParentBased(AlwaysOn())"
    with pytest.warns(RuntimeWarning, match=r"OTEL_TRACES_SAMPLER_ARG='1.5': use a number from 0 to 1.*it is ignored"):
        ratio = settled(OTEL_TRACES_SAMPLER="parentbased_traceidratio", OTEL_TRACES_SAMPLER_ARG="1.5")
    assert ratio[0] == "ParentBased(TraceIdRatio(1.0))"
    with pytest.warns(RuntimeWarning, match=r"OTEL_TRACES_SAMPLER='jaeger_remote': use endpoint=.*it is ignored"):
        assert settled(OTEL_TRACES_SAMPLER="jaeger_remote")[0] == "ParentBased(AlwaysOn())"
    with pytest.warns(RuntimeWarning) as warned:
        jaeger = settled(OTEL_TRACES_SAMPLER="jaeger_remote", OTEL_TRACES_SAMPLER_ARG="endpoint=x")
    assert jaeger[0] == "ParentBased(AlwaysOn())"
    assert [str(one.message)[:24] for one in warned] == ["OTEL_TRACES_SAMPLER_ARG=", "OTEL_TRACES_SAMPLER='jae"]


def test_an_argument_that_no_sampler_reads_is_left_alone(settled: Any) -> None:
    assert settled(OTEL_TRACES_SAMPLER="always_off", OTEL_TRACES_SAMPLER_ARG="x")[0] == "AlwaysOff()"


def test_a_bad_variable_of_ours_and_a_bad_argument_raise(settled: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"FASTTRACE_SAMPLER='alwayson': use .*did you mean 'always_on'"):
        settled(FASTTRACE_SAMPLER="alwayson")
    with pytest.raises(ConfigurationError, match=r"FASTTRACE_SAMPLER_ARG='x': use a number from 0 to 1"):
        settled(FASTTRACE_SAMPLER="traceidratio", FASTTRACE_SAMPLER_ARG="x")
    with pytest.raises(ConfigurationError, match=r"sampler='x': use always_on"):
        settled("x")
    with pytest.raises(ConfigurationError, match=r"sampler=1.5"):
        settled(1.5)


def test_the_presets_are_all_of_it_and_a_share_with_tail_rules(settled: Any) -> None:
    assert settled("development") == ("AlwaysOn()", ())
    sampler, tail = settled(FASTTRACE_SAMPLER="production")
    assert sampler == "ParentBased(Probability(0.01))"
    assert tail


@pytest.mark.parametrize(
    ("attributes", "preset"),
    [
        ({}, "development"),
        ({"deployment.environment.name": "test"}, "development"),
        ({"deployment.environment.name": "Production"}, "production"),
        ({"deployment.environment.name": "prod"}, "production"),
        ({"deployment.environment.name": "staging"}, "production"),
        ({"deployment.environment.name": "live"}, "production"),
        ({"deployment.environment": "prod"}, "production"),
        ({"deployment.environment.name": "dev", "deployment.environment": "prod"}, "development"),
    ],
)
def test_auto_goes_by_the_environment_in_the_resource(settled: Any, attributes: Any, preset: str) -> None:
    assert settled("auto", attributes) == settled("auto", lambda: attributes) == settled(preset)


def test_an_unknown_preset_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match=r"preset='develop'.*did you mean 'development'"):
        sampling.preset("develop")


def test_a_provider_takes_the_environment_from_its_resource(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=prod")
    assert repr(TracerProvider(sampler="auto", exporter="none").sampler) == "ParentBased(Probability(0.01))"
    given = TracerProvider(sampler="auto", exporter="none", resource={"deployment.environment.name": "dev"})
    assert repr(given.sampler) == "AlwaysOn()"


def test_the_public_names_are_these() -> None:
    assert all(hasattr(sampling, name) for name in sampling.__all__)
    with pytest.raises(AttributeError, match="Probablity"):
        sampling.Probablity  # noqa: B018
