"""Samplers by name: OpenTelemetry's for OTEL_TRACES_SAMPLER, ratios, and presets."""

from __future__ import annotations

from fasttrace import config
from fasttrace.errors import ConfigurationError
from fasttrace.sampling import checks
from fasttrace.sampling.base import Sampler, check_sampler
from fasttrace.sampling.probability import AlwaysOff, AlwaysOn, ParentBased, Probability, TraceIdRatio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from fasttrace.config import Settings

ROOTS = ("always_on", "always_off", "traceidratio", "jaeger_remote")
NAMES = (*ROOTS, *(f"parentbased_{name}" for name in ROOTS))
PRESETS = ("development", "production", "auto")
ACCEPTED = (
    f"{', '.join(NAMES)}, a ratio (0.1) or percentage (10%), a preset ({', '.join(PRESETS)}), or a sampler object"
)
PRODUCTION_RATIO = 0.01
# What production keeps beside its share, as rules of fasttrace.sampling.tail.
PRODUCTION_TAIL = ("latency=2s", "error", "http_5xx", "exception", "baseline=1%")
# What `deployment.environment.name` calls a place that gets the preset production.
PRODUCTION = ("production", "prod", "staging", "live")
ENVIRONMENT = ("deployment.environment.name", "deployment.environment")
JAEGER_ARGUMENT = "endpoint=http://host:5778/sampling,pollingIntervalMs=60000,initialSamplingRate=0.001"


def parse(value: Any, argument: str | float | None = None) -> Sampler:
    """A sampler from a sampler, a ratio, or its name in OTEL_TRACES_SAMPLER with OTEL_TRACES_SAMPLER_ARG.

    None is ``ParentBased(AlwaysOn())``, OpenTelemetry's default. A bare ratio is the root's, below ParentBased. An
    object with ``should_sample`` is asked. Raises ConfigurationError, naming what is accepted.
    """
    if value is None:
        return ParentBased(AlwaysOn())
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return ParentBased(Probability(checks.ratio(value, "sampler")))
    if not isinstance(value, str):
        try:
            return check_sampler(value, "sampler")
        except ConfigurationError:
            raise ConfigurationError(f"sampler={value!r}: use {ACCEPTED}") from None
    name = value.strip().lower()
    if name in PRESETS:
        return preset(name)[0]
    ratio = _ratio(name)
    if ratio is not None:
        return ParentBased(Probability(ratio))
    if name not in NAMES:
        near = checks.nearest(name, (*NAMES, *PRESETS))
        raise ConfigurationError(f"sampler={value!r}: use {ACCEPTED}{near}")
    root = _root(name.removeprefix("parentbased_"), argument)
    return ParentBased(root) if name.startswith("parentbased_") else root


def preset(name: str, resource: Mapping[str, Any] | None = None) -> tuple[Sampler, tuple[str, ...]]:
    """The sampler and the tail rules of ``development`` (all), ``production`` (1 % and what matters), or ``auto``.

    ``auto`` is production where the resource's ``deployment.environment.name`` is production, prod, staging or live.
    Raises ConfigurationError for another name.
    """
    word = name.strip().lower() if isinstance(name, str) else ""
    if word not in PRESETS:
        raise ConfigurationError(f"preset={name!r}: use one of {', '.join(PRESETS)}{checks.nearest(word, PRESETS)}")
    if word == "auto":
        found = [str(value) for key in ENVIRONMENT if (value := (resource or {}).get(key))]
        word = "production" if found and found[0].strip().lower() in PRODUCTION else "development"
    if word == "development":
        return AlwaysOn(), ()
    return ParentBased(Probability(PRODUCTION_RATIO)), PRODUCTION_TAIL


def from_settings(
    settings: Settings, resource: Mapping[str, Any] | Callable[[], Mapping[str, Any]]
) -> tuple[Sampler, tuple[str, ...]]:
    """The sampler that settings ask for, and the tail rules of a preset.

    A bad value of OTEL_TRACES_SAMPLER or OTEL_TRACES_SAMPLER_ARG warns and counts as unset, any other raises
    ConfigurationError. ``resource``: its attributes, or what gives them, asked for only when they are needed.
    """
    value, argument = settings.sampler, settings.sampler_argument
    tail: tuple[str, ...] = ()
    if isinstance(value, str) and value.strip().lower() in PRESETS:
        sampler, tail = preset(value, _attributes(resource) if value.strip().lower() == "auto" else None)
    else:
        sampler = _parse(value, argument, settings.sources)
    for inner in sampler._tree():
        if getattr(inner, "service_name", "") is None:
            inner.service_name = _attributes(resource).get("service.name")  # type: ignore[attr-defined]
    return sampler, tail


def _parse(value: Any, argument: Any, sources: Mapping[str, str]) -> Sampler:
    try:
        return parse(value, argument)
    except ConfigurationError as error:
        refused = str(error)
    blamed = refused.startswith("sampler_argument=") and argument is not None
    source = sources.get("sampler_argument" if blamed else "sampler", "")
    accepted = refused.partition(": ")[2]
    if not source.startswith(("OTEL_", "FASTTRACE_")):
        raise ConfigurationError(refused)
    config.refuse(source, str(argument if blamed else value), accepted.removeprefix("use "))
    return _parse(value, None, sources) if blamed else parse(None)


def _attributes(resource: Any) -> Mapping[str, Any]:
    found: Mapping[str, Any] = resource() if callable(resource) else resource
    return found or {}


def _root(name: str, argument: Any) -> Sampler:
    if name == "always_on":
        return AlwaysOn()
    if name == "always_off":
        return AlwaysOff()
    if name == "jaeger_remote":
        return _jaeger(argument)
    ratio = 1.0 if argument is None or argument == "" else _ratio(argument)
    if ratio is None:
        raise ConfigurationError(
            f"sampler_argument={argument!r}: use a number from 0 to 1, or a percentage such as 10%"
        )
    return TraceIdRatio(ratio)


def _ratio(value: Any) -> float | None:
    """A ratio from a number, or from text such as 0.1 or 10%; None for anything else."""
    text = str(value).strip()
    percent = text.endswith("%")
    digits = text[:-1] if percent else text
    try:
        number = float(digits) if digits.isascii() and "_" not in digits and not isinstance(value, bool) else None
    except ValueError:
        number = None
    if number is not None and percent:
        number /= 100
    return number if number is not None and 0 <= number <= 1 else None


def _jaeger(argument: Any) -> Sampler:
    from fasttrace.sampling.remote import JaegerRemote

    accepted = f"use {JAEGER_ARGUMENT}, of which the endpoint must be there"
    known = {"endpoint": "", "pollinginterval": "", "initialsamplingrate": ""}
    given: dict[str, str] = {}
    for pair in str(argument or "").split(","):
        key, equals, value = pair.partition("=")
        word = key.strip().lower().removesuffix("ms")
        if pair.strip() and (not equals or word not in known):
            raise ConfigurationError(f"sampler_argument={argument!r}: {accepted}")
        given[word] = value.strip()
    interval, rate = given.get("pollinginterval", "60000"), _ratio(given.get("initialsamplingrate", "0.001"))
    if not given.get("endpoint") or rate is None or not (interval.isascii() and interval.isdigit() and int(interval)):
        raise ConfigurationError(f"sampler_argument={argument!r}: {accepted}")
    try:
        return JaegerRemote(given["endpoint"], interval=int(interval) / 1000, initial=Probability(rate))
    except ConfigurationError as error:
        raise ConfigurationError(f"sampler_argument={argument!r}: {accepted}; {error}") from None
