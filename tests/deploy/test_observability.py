"""Dashboard and alerts: valid, and every figure that they name is one that a process shows."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import manifests
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

import fasttrace
from fasttrace import durations, metrics
from fasttrace.sampling import tail

DASHBOARD: dict[str, Any] = json.loads((manifests.DEPLOY / "grafana" / "fasttrace.json").read_text())
RULES = manifests.DEPLOY / "prometheus" / "fasttrace.rules.yaml"
SCRAPED = {"job", "instance"}  # what Prometheus adds
promql = pytest.importorskip("promql_parser")


def panels() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def expressions() -> Iterator[tuple[str, str]]:
    for panel in panels():
        for target in panel["targets"]:
            # Grafana's own words become what it would put there.
            text = target["expr"].replace("$__rate_interval", "1m")
            yield panel["title"], re.sub(r"\$(job|instance)", ".*", text)
    for rule in rules():
        yield rule["alert"], rule["expr"]


EXPRESSIONS = list(expressions())


@pytest.fixture(scope="module")
def exposition() -> Iterator[dict[str, set[str]]]:
    """Names of samples and their labels, as a process shows them that has sampled, kept, dropped and served."""
    provider = fasttrace.configure(service_name="shop", exporter="memory", tail=[tail.error()], sampler="always_off")
    with provider.get_tracer("tests").start_as_current_span("failed") as span:
        span.set_status(fasttrace.StatusCode.ERROR)
    provider.flush()
    durations.record("GET", "/orders", 500, 0.1)
    text = metrics.prometheus_text({**fasttrace.stats(), "last_error_time": 1.0, "span_cpu_microseconds": 1.0})
    text += metrics.request_durations_text()
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    yield found
    durations.clear()
    fasttrace.shutdown()


def selectors(expression: str) -> list[tuple[str, set[str], set[str]]]:
    """Every series that an expression asks for: its name, its labels with a condition, and all words that group."""
    promql.parse(expression)
    grouped = {
        label.strip()
        for labels in re.findall(r"(?:by|without|on|ignoring) \(([^)]*)\)", expression)
        for label in labels.split(",")
    }
    found = re.findall(r"\b((?:fasttrace|http_server)_\w+)(?:\{([^}]*)\})?", expression)
    return [(name, set(re.findall(r"(\w+)\s*[=!]", conditions)), grouped) for name, conditions in found]


@pytest.mark.parametrize(("title", "expression"), EXPRESSIONS)
def test_an_expression_is_promql_of_figures_and_labels_that_are_there(
    title: str, expression: str, exposition: dict[str, set[str]]
) -> None:
    found = selectors(expression)
    assert found
    labels = set[str]()
    for name, conditions, _ in found:
        assert name in exposition, name
        labels |= exposition[name]
        assert conditions <= exposition[name] | SCRAPED | {"le"}
    assert found[0][2] <= labels | SCRAPED | {"le"}


def test_every_figure_that_a_process_shows_has_a_place_on_the_dashboard(exposition: dict[str, set[str]]) -> None:
    shown = {name for panel in panels() for target in panel["targets"] for name, _, _ in selectors(
        target["expr"].replace("$__rate_interval", "1m").replace("$job", "").replace("$instance", "")
    )}  # fmt: skip
    assert set(exposition) == shown


def test_what_is_no_promql_is_refused() -> None:
    with pytest.raises(ValueError, match="unclosed left parenthesis"):
        promql.parse("sum by (job (fasttrace_info)")


def test_the_dashboard_has_its_panels_side_by_side_each_with_a_source_a_unit_and_a_meaning() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    taken = set[tuple[int, int]]()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}  # fmt: skip
        assert not cells & taken and place["x"] + place["w"] <= 24
        taken |= cells
    for panel in panels():
        assert panel["description"] and panel["fieldConfig"]["defaults"]["unit"]
        for target in panel["targets"]:
            assert target["datasource"] == panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        refs = [target["refId"] for target in panel["targets"]]
        assert len(refs) == len(set(refs))
    assert [variable["name"] for variable in DASHBOARD["templating"]["list"]] == ["datasource", "job", "instance"]


def test_every_alert_says_what_it_means_and_the_runbook_what_to_do() -> None:
    runbook = (manifests.ROOT / "docs" / "runbook.md").read_text()
    for rule in rules():
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("info", "warning", "critical")
        assert set(rule["annotations"]) == {"summary", "description"}
        assert f"`{rule['alert']}`" in runbook
    assert len({rule["alert"] for rule in rules()}) == len(rules())


@pytest.mark.skipif(not shutil.which("promtool"), reason="no promtool on the PATH (Debian: apt install prometheus)")
def test_prometheus_itself_takes_rules_and_configuration_and_alerts_as_its_examples_say(tmp_path: Path) -> None:
    subprocess.run(["promtool", "check", "rules", RULES], check=True, capture_output=True)
    for path in (RULES, manifests.COMPOSE.parent / "prometheus" / "prometheus.yaml", RULES.with_name("fasttrace.test.yaml")):  # fmt: skip
        shutil.copy(path, tmp_path)
    subprocess.run(["promtool", "check", "config", tmp_path / "prometheus.yaml"], check=True, capture_output=True)
    done = subprocess.run(
        ["promtool", "test", "rules", "fasttrace.test.yaml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_an_example() -> None:
    cases = yaml.safe_load(RULES.with_name("fasttrace.test.yaml").read_text())["tests"]
    tried = {case["alertname"] for test in cases for case in test["alert_rule_test"] if case.get("exp_alerts")}
    assert tried == {rule["alert"] for rule in rules()}
