"""The Collector's configuration: valid YAML, and the same rules; tests/interop has the real Collector."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fasttrace.errors import ConfigurationError
from fasttrace.sampling import collector, tail

KEPT = {"name": "fasttrace: kept already", "type": "string_attribute"}


def policies(rules: Any, **options: Any) -> list[dict[str, Any]]:
    """The policies for rules, without the first, which is always there."""
    text = collector.sampler(tail.plan(rules).rules, "backend:4317", **options)
    found = yaml.safe_load(text)["processors"]["tail_sampling"]["policies"]
    assert {key: found[0][key] for key in KEPT} == KEPT
    return list(found[1:])


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("latency=2s", {"type": "latency", "latency": {"threshold_ms": 2000}}),
        ("latency=0.0015s", {"type": "latency", "latency": {"threshold_ms": 2}}),
        ("error", {"type": "status_code", "status_code": {"status_codes": ["ERROR"]}}),
        (
            "http_5xx",
            {
                "type": "numeric_attribute",
                "numeric_attribute": {"key": "http.response.status_code", "min_value": 500, "max_value": 599},
            },
        ),
        (
            "exception",
            {
                "type": "ottl_condition",
                "ottl_condition": {"error_mode": "ignore", "spanevent": ['spanevent.name == "exception"']},
            },
        ),
        ("baseline=2.5%", {"type": "probabilistic", "probabilistic": {"sampling_percentage": 2.5}}),
        ("baseline=0.00000001", {"type": "probabilistic", "probabilistic": {"sampling_percentage": 1e-6}}),
        (
            "attribute=a:gold|silver",
            {"type": "string_attribute", "string_attribute": {"key": "a", "values": ["gold", "silver"]}},
        ),
        ("attribute=a:true", {"type": "boolean_attribute", "boolean_attribute": {"key": "a", "value": True}}),
        (
            "attribute=a:1..5",
            {"type": "numeric_attribute", "numeric_attribute": {"key": "a", "min_value": 1, "max_value": 5}},
        ),
    ],
)
def test_each_rule_is_the_policy_of_the_same_meaning(text: str, policy: dict[str, Any]) -> None:
    (rule,) = tail.parse(text)
    assert policies(text) == [{"name": rule.name, **policy}]


@pytest.mark.parametrize(
    ("text", "conditions"),
    [
        ("attribute=a", ['span.attributes["a"] != nil']),
        ("attribute=a:false", ['span.attributes["a"] == false']),
        ("attribute=a:0..5", ['span.attributes["a"] >= 0 and span.attributes["a"] <= 5']),
        ("attribute=a:..2.5", ['span.attributes["a"] <= 2.5']),
        ('attribute=a:7|"7"|true', [f'span.attributes["a"] == {value}' for value in ("7", '"7"', "true")]),
    ],
)
def test_what_no_policy_of_attributes_can_say_is_a_condition(text: str, conditions: list[str]) -> None:
    (policy,) = policies(text)
    assert policy["type"] == "ottl_condition" and policy["ottl_condition"]["span"] == conditions


def test_rules_that_can_not_be_said_are_named_with_the_reason() -> None:
    text = collector.sampler(tail.parse("rare=10/60s,percentile=0.99,error"), "backend:4317")
    assert "#   rare=10/60s: no policy counts the traces of a route" in text
    assert "#   percentile=0.99: no policy knows how long the other traces" in text
    assert "keep_trace(), which no policy can see" in text
    assert [policy["name"] for policy in policies("rare=10/60s,percentile=0.99,error")] == ["error"]


def test_what_a_head_has_sampled_is_kept_when_asked_and_explained_when_not() -> None:
    assert policies("error", keep_sampled=True)[0] == {"name": "head: sampled", "type": "trace_flags"}
    assert "#   type: trace_flags" in collector.sampler((), "backend:4317")


texts = st.text(min_size=1, max_size=20)


@given(texts, st.lists(texts, min_size=1, max_size=3), st.floats(-1e300, 1e300))
def test_any_key_value_and_name_is_valid_yaml_and_comes_back(key: str, values: list[str], number: float) -> None:
    rules = [
        tail.attribute(key, values=values, name="a"),
        tail.attribute(key, name="b"),
        tail.attribute("k", at_least=number, name="c"),
    ]
    found = {policy["name"]: policy for policy in policies(rules)}
    assert found["a"]["string_attribute"]["key"] == key
    assert set(found["a"]["string_attribute"]["values"]) == set(values)
    assert found["b"]["ottl_condition"]["span"][0].endswith('"] != nil')
    written = found["c"]["ottl_condition"]["span"][0].rpartition(" ")[2]
    assert float(written) == number and "e" not in written


def test_the_first_tier_sends_each_trace_to_one_of_the_samplers_named() -> None:
    made = yaml.safe_load(collector.load_balancer("10.0.0.1:4317, [::1]:5317"))
    balancing = made["exporters"]["load_balancing"]
    assert balancing["routing_key"] == "traceID"
    assert balancing["resolver"] == {"static": {"hostnames": ["10.0.0.1:4317", "[::1]:5317"]}}
    assert balancing["retry_on_failure"]["enabled"] and balancing["sending_queue"]["enabled"]
    assert made["service"]["pipelines"]["traces"] == {
        "receivers": ["otlp"],
        "processors": ["memory_limiter"],
        "exporters": ["load_balancing"],
    }


@pytest.mark.parametrize(("samplers", "port"), [("dns:samplers.local", "4317"), ("dns:samplers.local:5317", "5317")])
def test_the_samplers_may_be_all_addresses_of_a_name(samplers: str, port: str) -> None:
    made = yaml.safe_load(collector.load_balancer(samplers))
    assert made["exporters"]["load_balancing"]["resolver"] == {"dns": {"hostname": "samplers.local", "port": port}}


@pytest.mark.parametrize(
    ("endpoint", "exporters"),
    [
        ("jaeger:4317", {"otlp_grpc": {"endpoint": "jaeger:4317", "tls": {"insecure": True}}}),
        ("https://collect.example/otlp", {"otlp_http": {"endpoint": "https://collect.example/otlp"}}),
        (
            "dns:tempo.local, http://b:4318",
            {
                "otlp_grpc/1": {
                    "endpoint": "dns:///tempo.local:4317",
                    "balancer_name": "round_robin",
                    "tls": {"insecure": True},
                },
                "otlp_http/2": {"endpoint": "http://b:4318"},
            },
        ),
    ],
)
def test_kept_traces_go_to_the_endpoint(endpoint: str, exporters: dict[str, Any]) -> None:
    made = yaml.safe_load(collector.sampler((), endpoint))
    for exporter in made["exporters"].values():
        queue = exporter.pop("sending_queue")
        # What can't hold one batch would never send any.
        assert queue["sizer"] == queue["batch"]["sizer"] and queue["batch"]["max_size"] < queue["queue_size"]
        assert queue["batch"]["max_size"] < 4 << 20  # a receiver's bound
    assert made["exporters"] == exporters
    assert made["service"]["pipelines"]["traces"]["exporters"] == list(exporters)


@pytest.mark.parametrize("samplers", ["", "sampler", "sampler:0", "a:1,b", "dns:", "dns:a b", "a:99999", "x:1\n- y:2"])
def test_samplers_that_are_no_addresses_are_refused(samplers: str) -> None:
    with pytest.raises(ConfigurationError, match=r"use host:port|use dns:NAME"):
        collector.load_balancer(samplers)


@pytest.mark.parametrize("endpoint", ["", "backend", "ftp://x:1", "https://", "a:b"])
def test_an_endpoint_that_is_none_is_refused(endpoint: str) -> None:
    with pytest.raises(ConfigurationError, match="use host:port, dns:NAME, or an http:// or https:// URL"):
        collector.sampler((), endpoint)


def test_secrets_of_an_endpoint_are_not_printed() -> None:
    with pytest.raises(ConfigurationError) as refused:
        collector.sampler((), "https://user:hunter2@collect.example/?key=hunter3")
    assert "hunter" not in str(refused.value)


# --- beside the two tiers


def test_an_agent_sends_everything_on() -> None:
    made = yaml.safe_load(collector.agent("dns:load-balancer.tracing"))
    assert made["exporters"]["otlp_grpc"]["endpoint"] == "dns:///load-balancer.tracing:4317"
    assert list(made["processors"]) == made["service"]["pipelines"]["traces"]["processors"] == ["memory_limiter"]


ROLES = {
    "agent": lambda hosting: collector.agent("a:1", hosting),
    "load-balancer": lambda hosting: collector.load_balancer("a:1,b:1", hosting),
    "sampler": lambda hosting: collector.sampler((), "a:1", hosting=hosting),
    "jaeger": collector.jaeger,
}


@pytest.mark.parametrize("role", ROLES)
def test_what_surrounds_a_process_is_there_when_asked_for_and_only_then(role: str) -> None:
    plain = yaml.safe_load(ROLES[role](collector.Hosting()))
    made = yaml.safe_load(ROLES[role](collector.Hosting("0.0.0.0:13133", "0.0.0.0:8888", "/data", 123)))
    assert set(made["service"]["extensions"]) == set(made["extensions"])
    health = made["extensions"].get("health_check") or made["extensions"]["healthcheckv2"]["http"]
    assert health["endpoint"] == "0.0.0.0:13133"
    (reader,) = made["service"]["telemetry"]["metrics"]["readers"]
    assert reader == {"pull": {"exporter": {"prometheus": {"host": "0.0.0.0", "port": 8888}}}}
    assert "telemetry" not in plain["service"]
    if role == "jaeger":
        (backend,) = made["extensions"]["jaeger_storage"]["backends"].values()
        assert backend["badger"]["directories"] == {"keys": "/data/keys", "values": "/data/values"}
        assert list(plain["extensions"]["jaeger_storage"]["backends"].values()) == [{"memory": {"max_traces": 100000}}]
        return
    assert "extensions" not in plain
    (exporter,) = made["exporters"].values()
    assert exporter["sending_queue"]["storage"] == "file_storage" and exporter["sending_queue"]["queue_size"] == 123
    assert made["extensions"]["file_storage"] == {"directory": "/data"}
    (exporter,) = plain["exporters"].values()
    assert "storage" not in exporter["sending_queue"]


def test_what_waits_on_disk_is_not_given_up() -> None:
    made = yaml.safe_load(collector.agent("a:1", collector.Hosting(data_dir="/data")))
    assert made["exporters"]["otlp_grpc"]["retry_on_failure"] == {"max_elapsed_time": "0s"}


def test_tempo_keeps_traces_in_its_folder_and_needs_one() -> None:
    made = yaml.safe_load(collector.tempo(collector.Hosting(data_dir="/data/")))
    assert made["storage"]["trace"]["local"] == {"path": "/data/blocks"}
    with pytest.raises(ConfigurationError, match="use --data-dir"):
        collector.tempo(collector.Hosting())


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(("field", "option"), [("health", "--health"), ("metrics", "--metrics")])
def test_addresses_that_are_none_are_refused(role: str, field: str, option: str) -> None:
    with pytest.raises(ConfigurationError, match=f"use host:port for {option}"):
        ROLES[role](collector.Hosting(**{field: "8888"}))


@pytest.mark.parametrize(("seconds", "written"), [(30.0, "30s"), (1.5, "1.5s"), (0.001, "0.001s")])
def test_the_wait_and_the_traces_are_those_that_were_given(seconds: float, written: str) -> None:
    made = yaml.safe_load(collector.sampler((), "a:1", decision_wait=seconds, num_traces=7000))
    tail_sampling = made["processors"]["tail_sampling"]
    assert tail_sampling["decision_wait"] == written and tail_sampling["num_traces"] == 7000
    assert min(tail_sampling["decision_cache"].values()) > 7000
