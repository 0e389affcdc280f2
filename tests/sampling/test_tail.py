"""Tail rules: values that print, compare and come back from text; what the core and the store are given."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fasttrace import config
from fasttrace.errors import ConfigurationError
from fasttrace.sampling import tail

EVERYTHING = "latency=2s,error,http_5xx,exception,attribute=user.tier:gold,rare=10/60s,percentile=0.99,baseline=1%"

texts = st.text(min_size=1, max_size=20)
numbers = st.one_of(st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False))
values = st.one_of(texts, st.just(""), st.booleans(), numbers)
seconds = st.floats(1e-9, 1e6)
shares = st.floats(0, 1)
names = st.one_of(st.none(), st.from_regex(r"[a-z][a-z :.%_-]{0,10}[a-z]", fullmatch=True))
rules = st.one_of(
    st.builds(tail.latency, seconds, name=names),
    st.builds(tail.error, name=names),
    st.builds(tail.http_5xx, name=names),
    st.builds(tail.exception, name=names),
    st.builds(tail.attribute, texts, name=names),
    st.builds(tail.attribute, texts, value=values, name=names),
    st.builds(tail.attribute, texts, values=st.lists(values, min_size=1, max_size=4), name=names),
    st.builds(tail.attribute, texts, at_least=numbers, name=names),
    st.builds(tail.attribute, texts, at_most=numbers, name=names),
    st.builds(tail.rare, st.integers(1, 2**31 - 1), seconds, name=names),
    st.builds(tail.percentile, st.floats(1e-6, 0.999999), name=names),
    st.builds(tail.baseline, shares, name=names),
)


@given(st.lists(rules, max_size=5))
def test_every_rule_comes_back_from_its_text(made: list[tail.Rule]) -> None:
    assert tail.parse(",".join(rule.text for rule in made)) == tuple(made)


@given(rules)
def test_a_rule_is_equal_to_its_repr_its_copy_and_its_pickle(rule: tail.Rule) -> None:
    functions = {name: getattr(tail, name) for name in tail.FUNCTIONS}
    for other in (eval(repr(rule), functions), copy.copy(rule), pickle.loads(pickle.dumps(rule))):
        assert other == rule and hash(other) == hash(rule) and repr(other) == repr(rule)


def test_a_rule_never_changes() -> None:
    rule = tail.latency()
    with pytest.raises(AttributeError, match="make another"):
        rule.name = "other"
    assert rule.name == "latency"


def test_true_1_and_1_0_are_different_values() -> None:
    made = {tail.attribute("key", value=value) for value in (True, 1, 1.0, "1")}
    assert len(made) == 4
    assert tail.attribute("key", value=True) != tail.attribute("key", value=1)
    assert tail.error() != tail.http_5xx() and tail.error() != tail.error(name="other")
    assert tail.attribute("key", values=[True, 1, True, 1.0]).options["values"] == (True, 1, 1.0)


def test_the_plan_gives_the_core_and_the_store_their_rules_in_the_users_order() -> None:
    plan = tail.plan(EVERYTHING)
    assert plan.core_rules == (
        ("latency", 1, 2_000_000_000),
        ("error", 2),
        ("http_5xx", 3),
        ("exception", 4),
        ("attribute", 5, "user.tier", ("gold",), None, None),
    )
    assert plan.store_rules == (("rare", 6, 10, 60_000_000_000), ("percentile", 7, 990_000))
    assert plan.baseline_ratio == 0.01
    assert plan.by_bit[5] == tail.attribute("user.tier", value="gold")
    named = {bit: reason for bit, reason in enumerate(plan.reasons) if reason}
    assert len(plan.reasons) == 32
    assert named == {
        0: "keep_trace",
        1: "latency",
        2: "error",
        3: "http_5xx",
        4: "exception",
        5: "attribute:user.tier",
        6: "rare",
        7: "percentile",
        28: "recall",
        29: "callee",
        30: "baseline",
    }


@given(st.lists(rules, max_size=27))
def test_the_core_takes_every_plan(core: Any, made: list[tail.Rule]) -> None:
    try:
        plan = tail.plan(made)
    except ConfigurationError:
        return  # two of one name
    assert core.tail.TailRules(plan.core_rules).rules == plan.core_rules


def test_beside_a_sampler_of_the_users_the_baseline_is_a_rule_of_the_store() -> None:
    plan = tail.plan("error,baseline=25%,latency", head_is_baseline=False)
    assert plan.core_rules == (("error", 1), ("latency", 3, 2_000_000_000))
    assert plan.store_rules == (("baseline", 2, 3 << 54),)
    assert plan.reasons[2] == "baseline" and plan.reasons[30] == "head"


def test_without_a_baseline_the_head_is_called_head() -> None:
    plan = tail.plan([tail.error()])
    assert plan.baseline_ratio is None and plan.reasons[30] == "head"


def test_a_name_of_the_users_is_the_keep_reason() -> None:
    plan = tail.plan([tail.latency(0.5, name="slow"), tail.baseline(0.1, name="fair share")])
    assert plan.reasons[1] == "slow" and plan.reasons[30] == "fair share"


def test_attributes_have_bounds_values_or_neither() -> None:
    plan = tail.plan("attribute=a,attribute=b:1..5,attribute=c:..2.5,attribute=d:true|7|seven")
    assert [rule[2:] for rule in plan.core_rules] == [
        ("a", None, None, None),
        ("b", None, 1, 5),
        ("c", None, None, 2.5),
        ("d", (True, 7, "seven"), None, None),
    ]


def test_the_same_rule_twice_is_one() -> None:
    assert tail.plan("error,latency=2s,error,latency=2000ms").rules == (tail.error(), tail.latency())


def test_27_rules_fit_and_28_are_refused() -> None:
    made = [tail.attribute(f"key{index}") for index in range(28)]
    assert max(tail.plan(made[:27]).by_bit) == 27
    with pytest.raises(ConfigurationError, match="28 rules: use at most 27"):
        tail.plan(made)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("latensy=2s", "no rule is called 'latensy', did you mean latency?"),
        ("xyzzy", "use latency, error, http_5xx, exception, attribute, rare, percentile, baseline"),
        ("latency=-1", "seconds='-1': use seconds above 0"),
        ("latency=", "use latency=2s"),
        ("latency=1e9", "use seconds above 0"),
        ("error=3", "use error, without a value"),
        ("rare=0/60s", "count='0': use a whole number from 1"),
        ("rare=10/0s", "seconds='0s': use seconds above 0"),
        ("percentile=1", "use a share above 0 and below 1"),
        ("baseline=1.5", "baseline='1.5': use a number from 0 to 1, or a percentage"),
        ("baseline=150%", "use a number from 0 to 1"),
        ("baseline=nan", "use a number from 0 to 1"),
        ("baseline", "use baseline=1%"),
        ("attribute", "use attribute=KEY"),
        ("attribute=key:", "use attribute=KEY"),
        ("attribute=key:a|", "use attribute=KEY"),
        ('attribute="key', "a quotation mark has no end"),
        ("attribute=key:5..1", "no number is in between"),
        ("recall:error", "name='recall': use a name"),
        ("error,slow:latency,slow:exception", "two rules called 'slow'"),
        ("baseline=1%,other:baseline=2%", "use one baseline"),
        ("attribute=a:1,attribute=a:2", "two rules called 'attribute:a'"),
    ],
)
def test_what_can_not_be_is_refused_with_the_value_and_what_is_accepted(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        tail.plan(text)
    assert said in str(refused.value)
    assert "tail" in str(refused.value)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: tail.latency(-1), "seconds=-1"),
        (lambda: tail.latency(True), "seconds=True"),
        (lambda: tail.latency(math.nan), "seconds=nan"),
        (lambda: tail.latency(math.inf), "seconds=inf"),
        (lambda: tail.rare(2.5), "count=2.5"),
        (lambda: tail.percentile(0), "percentile=0"),
        (lambda: tail.baseline(None), "baseline=None"),
        (lambda: tail.attribute(""), "key=''"),
        (lambda: tail.attribute("key", value=b"x"), "value=b'x': use text"),
        (lambda: tail.attribute("key", value=2**63), "use text, a whole number"),
        (lambda: tail.attribute("key", values="abc"), "values='abc': use a list"),
        (lambda: tail.attribute("key", values=[]), "at least one value"),
        (lambda: tail.attribute("key", value=1, values=[2]), "use one of them"),
        (lambda: tail.attribute("key", value=1, at_least=2), "not both"),
        (lambda: tail.attribute("key", at_least=True), "at_least=True: use a number"),
        (lambda: tail.attribute("key", at_most=math.nan), "at_most=nan: use a number"),
        (lambda: tail.error(name="a,b"), "name='a,b'"),
        (lambda: tail.error(name="head"), "none of keep_trace, recall, callee, head"),
        (lambda: tail.error(name=""), "name=''"),
        (lambda: tail.plan([tail.error]), "call it: error(...)"),
        (lambda: tail.plan([2.0]), "tail=2.0: use rules"),
        (lambda: tail.plan(2.0), "tail=2.0: use rules"),
    ],
)
def test_bad_arguments_are_refused_with_the_value(make: Any, said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        make()
    assert said in str(refused.value)


@given(st.text(alphabet='latency=,:"\\|.5s%error attribute/-eE', max_size=40))
def test_no_text_is_answered_with_anything_but_a_refusal(text: str) -> None:
    try:
        tail.plan(text)
    except ConfigurationError:
        pass


def test_the_variable_the_argument_and_none_at_all() -> None:
    assert config.resolve({}, {"FASTTRACE_TAIL": EVERYTHING}).tail == EVERYTHING
    rules = [tail.error()]
    found = config.resolve({"tail": rules}, {"FASTTRACE_TAIL": EVERYTHING})
    assert found.tail is rules and found.sources["tail"] == "argument"
    assert config.resolve({}, {}).tail is None and tail.parse(None) == () == tail.parse("")


def test_the_rules_are_at_hand_in_sampling() -> None:
    from fasttrace import sampling

    assert sampling.tail.latency() == tail.latency() and "tail" in sampling.__all__
