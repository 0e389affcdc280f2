"""Rules: the first that matches decides, by what is known at the start."""

from __future__ import annotations

from typing import Any

import pytest

from fasttrace import SpanKind, sampling
from fasttrace._core.layout import THRESHOLD_ALWAYS, THRESHOLD_ASK, THRESHOLD_NEVER
from fasttrace.errors import ConfigurationError
from fasttrace.sampling import Rule, Rules


def test_the_first_rule_that_matches_decides_and_the_default_the_rest(bound: Any) -> None:
    traced = bound(Rules([Rule(name="GET /health*", sample=False), {"name": "GET *", "sample": True}], default=False))
    assert not traced.root("GET /healthz").sampled
    assert traced.root("GET /cart").sampled
    assert not traced.root("POST /cart").sampled


@pytest.mark.parametrize(
    ("rule", "arguments", "matches"),
    [
        ({"name": "a?c"}, {"name": "abc"}, True),
        ({"name": "a?c"}, {"name": "abbc"}, False),
        ({"name": ["x", "a*"]}, {"name": "abc"}, True),
        ({"name": "ABC"}, {"name": "abc"}, False),
        ({"kind": "server"}, {"kind": SpanKind.SERVER}, True),
        ({"kind": SpanKind.CLIENT}, {"kind": SpanKind.SERVER}, False),
        ({"kind": ["CLIENT", "server"]}, {"kind": SpanKind.SERVER}, True),
        ({"attributes": {"url.path": "/api/*"}}, {"attributes": {"url.path": "/api/cart"}}, True),
        ({"attributes": {"url.path": "/api/*"}}, {"attributes": {"url.path": "/static"}}, False),
        ({"attributes": {"url.path": "/api/*"}}, {"attributes": {"http.route": "/api/cart"}}, False),
        ({"attributes": {"url.path": "/api/*"}}, {}, False),
        ({"attributes": {"url.path": ["/a", "/b"]}}, {"attributes": {"url.path": "/b"}}, True),
        ({"attributes": {"server.port": 8080}}, {"attributes": {"server.port": 8080}}, True),
        ({"attributes": {"server.port": 8080}}, {"attributes": {"server.port": "8080"}}, False),
        ({"attributes": {"test": True}}, {"attributes": {"test": 1}}, False),
        ({"attributes": {"test": True}}, {"attributes": {"test": True}}, True),
        ({"name": "*", "kind": "server"}, {"kind": SpanKind.CLIENT}, False),
    ],
)
def test_a_rule_holds_when_all_of_it_does(
    bound: Any, rule: dict[str, Any], arguments: dict[str, Any], matches: bool
) -> None:
    traced = bound(Rules([{**rule, "sample": True}], default=False))
    assert traced.root(**arguments).sampled is matches


@pytest.mark.parametrize(
    ("parent", "cases"),
    [
        ("root", {0}),
        ("remote", {1, 2}),
        ("local", {3, 4}),
        ("sampled", {1, 3}),
        ("not sampled", {2, 4}),
        ("local_not_sampled", {4}),
        (["root", "remote-sampled"], {0, 1}),
        (None, {0, 1, 2, 3}),
    ],
)
def test_a_rule_names_parents(bound: Any, core: Any, parent: Any, cases: set[int]) -> None:
    traced = bound(Rules([Rule(parent=parent, sample=True)], default=False))
    found = {0} if traced.root().sampled else set()
    for case, (remote, flags) in enumerate([(True, 1), (True, 0), (False, 1), (False, 0)], 1):
        context = core.context.SpanContext(1 << 99 | 7, 9, remote, flags)
        if traced.child(context).sampled:
            found.add(case)
    # Below a local parent that was sampled, a span that no rule matches does as its parent did.
    assert found == cases | {3}


def test_below_a_local_parent_what_no_rule_matches_follows_it(bound: Any) -> None:
    traced = bound(Rules([Rule(name="GET /cart", sample=True), Rule(name="redis*", sample=False)], default=0.0))
    root, left_out = traced.root("GET /cart"), traced.root("GET /")
    assert traced.child(root, "query").sampled
    assert not traced.child(root, "redis.get").sampled
    assert not traced.child(left_out, "GET /cart").sampled


def test_children_cost_nothing_where_rules_name_other_parents() -> None:
    ask, always, never = THRESHOLD_ASK, THRESHOLD_ALWAYS, THRESHOLD_NEVER
    entries = Rules([Rule(name="x", parent=["root", "remote"], sample=True)], default=False)
    assert entries.thresholds() == (ask, ask, ask, always, never)
    roots = Rules([Rule(name="x", parent="root", sample=True)], default=0.5)
    assert roots.thresholds() == (ask, 1 << 55, 1 << 55, always, never)
    assert roots.ot_members() == (None, "th:8", "th:8", None, None)
    assert sampling.ParentBased(Rules([Rule(name="x", sample=True)])).thresholds() == (
        ask,
        always,
        never,
        always,
        never,
    )


def test_a_ratio_of_a_rule_is_consistent_and_says_so(bound: Any) -> None:
    traced = bound(Rules([{"name": "half", "sample": 0.5}], default=sampling.Probability(0.25)))
    for name, threshold, member in (("half", 1 << 55, "ot=th:8"), ("other", 3 << 54, "ot=th:c")):
        for _ in range(100):
            span = traced.root(name)
            assert span.sampled is (span.trace_id & ((1 << 56) - 1) >= threshold)
            assert span.trace_state.to_header() == (member if span.sampled else "")
    parent = traced.remote(5, state="ot=rv:80000000000000")
    assert traced.child(parent, "half").trace_state.to_header() == "ot=th:8;rv:80000000000000"
    assert not traced.child(parent, "other").sampled


def test_a_rule_may_hand_over_to_a_sampler_that_is_asked(bound: Any, clock: Any) -> None:
    traced = bound(Rules([{"name": "busy", "sample": sampling.RateLimited(1)}], default=True))
    assert [traced.root("busy").sampled for _ in range(3)] == [True, False, False]


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"nmae": "x", "sample": True}, r"'nmae' is no key of a rule \(did you mean 'name'\?\)"),
        ({"name": "x"}, "has no 'sample'"),
        ({"sample": 1.5}, "sample=1.5"),
        ({"sample": "x"}, r"sample='x': use a sampler, a ratio from 0 to 1, True or False"),
        ({"sample": None}, "sample=None"),
        ({"name": 7, "sample": True}, "name=7"),
        ({"name": [], "sample": True}, r"name=\[\]"),
        ({"kind": "severs", "sample": True}, r"kind='severs'.*internal, server.*did you mean 'server'"),
        ({"kind": 9, "sample": True}, "kind=9"),
        ({"parent": "remotes", "sample": True}, r"parent='remotes'.*did you mean 'remote'"),
        ({"attributes": "url.path", "sample": True}, "attributes='url.path'"),
        ({"attributes": {"a": None}, "sample": True}, "a=None"),
        (7, "7 is no Rule"),
    ],
)
def test_a_bad_rule_is_refused_with_what_is_accepted(rule: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Rules([rule])


@pytest.mark.parametrize("rules", ["x", {"name": "x"}, 7])
def test_rules_are_a_list(rules: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"rules=.*list"):
        Rules(rules)
