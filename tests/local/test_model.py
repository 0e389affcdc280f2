"""The trace model: what belongs to what, and where the time went."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
import sample_traces as traces
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_traces import MS, any_spans, span

from fasttrace._core.types import SpanData, SpanKind
from fasttrace.local.layout import layout
from fasttrace.local.model import BACKWARDS, CYCLE, DUPLICATE, EARLY, LATE, ORPHAN, Trace, group_traces


@given(any_spans())
def test_every_span_stands_exactly_once_in_the_tree(spans: list[SpanData]) -> None:
    trace = Trace(spans)
    assert len(trace.nodes) + trace.redelivered == len(spans)
    assert len({id(node) for node in trace.nodes}) == len(trace.nodes)
    assert {id(node.span) for node in trace.nodes} <= {id(data) for data in spans}


@given(any_spans(), st.integers(1, 5))
def test_every_span_stands_in_exactly_one_row(spans: list[SpanData], min_fold: int) -> None:
    trace = Trace(spans)
    rows = Counter(node.index for row in layout(trace, min_fold) for node in row.nodes)
    assert rows == Counter(range(len(trace.nodes)))


@given(any_spans())
def test_folded_spans_are_alike(spans: list[SpanData]) -> None:
    for row in layout(Trace(spans)):
        assert len({(node.service, node.name, node.error) for node in row.nodes}) <= 1


@given(any_spans())
def test_critical_path_sums_to_the_root_s_duration_without_gap_or_overlap(spans: list[SpanData]) -> None:
    trace = Trace(spans)
    at = trace.root.start_ns
    for segment in trace.critical_path:
        assert segment.start_ns == at
        assert segment.end_ns > at
        assert segment.node.start_ns <= segment.start_ns
        assert segment.end_ns <= segment.node.end_ns
        at = segment.end_ns
    assert at == trace.root.end_ns
    assert sum(trace.path_time_by_service().values()) == trace.duration_ns


@given(any_spans())
def test_self_time_is_what_no_child_covers(spans: list[SpanData]) -> None:
    for node in Trace(spans).nodes:
        instants = set(range(node.start_ns // MS, node.end_ns // MS))
        for child in node.children:
            instants -= set(range(child.start_ns // MS, child.end_ns // MS))
        assert node.self_time_ns == len(instants) * MS


@given(any_spans())
def test_no_timestamp_is_ever_changed(spans: list[SpanData]) -> None:
    before = [(data.start_time_ns, data.end_time_ns) for data in spans]
    layout(Trace(spans))
    assert [(data.start_time_ns, data.end_time_ns) for data in spans] == before


@given(any_spans(), st.randoms(use_true_random=False))
@settings(max_examples=50)
def test_times_do_not_depend_on_the_order_of_arrival(spans: list[SpanData], random: object) -> None:
    distinct = list({data.span_id: data for data in spans}.values())
    shuffled = list(distinct)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    first, second = Trace(distinct), Trace(shuffled)
    assert {node.span.span_id: node.self_time_ns for node in first.nodes} == {
        node.span.span_id: node.self_time_ns for node in second.nodes
    }


@pytest.mark.timeout(60)
@pytest.mark.parametrize("shape", ["chain", "flat", "tree", "cycle", "orphans", "duplicates"])
def test_a_hundred_thousand_spans_of_any_shape_are_no_special_case(shape: str) -> None:
    count = 100_000 if shape == "tree" else 20_000
    shapes: dict[str, Callable[[int], int]] = {
        "chain": lambda number: number - 1,
        "flat": lambda number: 1 if number > 1 else 0,
        "tree": lambda number: number // 8,
        "cycle": lambda number: number - 1 or count,
        "orphans": lambda number: 10**6 + number,
        "duplicates": lambda number: 0,
    }
    parents = shapes[shape]
    spans = [
        span(1 if shape == "duplicates" else number, parents(number), number / 1000, 2 * count - number / 1000)
        for number in range(1, count + 1)
    ]
    trace = Trace(spans)
    assert len(trace.nodes) == count
    assert sum(len(row.nodes) for row in layout(trace)) == count


def test_critical_path_follows_the_child_that_ended_last() -> None:
    trace = Trace(
        [
            span(1, 0, 0, 100, "root"),
            span(2, 1, 10, 50, "short"),
            span(3, 1, 10, 80, "long"),
            span(4, 3, 20, 70, "inside"),
        ]
    )
    path = [(segment.node.name, segment.duration_ns // MS) for segment in trace.critical_path]
    assert path == [("root", 10), ("long", 10), ("inside", 50), ("long", 10), ("root", 20)]


def test_child_that_outlives_its_parent_extends_nothing() -> None:
    trace = Trace([span(1, 0, 0, 10, "root"), span(2, 1, 5, 500, "background")])
    path = [(segment.node.name, segment.duration_ns // MS) for segment in trace.critical_path]
    assert path == [("root", 5), ("background", 5)]
    assert trace.duration_ns == 10 * MS


def test_orphan_is_marked_and_the_missing_parent_named() -> None:
    trace = Trace(traces.damaged())
    orphans = [node for node in trace.nodes if ORPHAN in node.marks]
    assert [node.name for node in orphans] == ["render", "send"]
    assert trace.missing_parents == ["9c1e000000000001"]
    assert trace.root.name == "GET /report"


def test_cycle_is_cut_once_at_its_earliest_span() -> None:
    trace = Trace(traces.damaged())
    assert [node.name for node in trace.nodes if CYCLE in node.marks] == ["chicken"]
    chicken = next(node for node in trace.nodes if node.name == "chicken")
    assert [node.name for node in chicken.children] == ["egg"]


def test_span_that_is_its_own_parent_is_a_cycle() -> None:
    trace = Trace([span(1, 1, 0, 10)])
    assert trace.root.marks == {CYCLE}
    assert trace.duration_ns == 10 * MS


def test_second_span_of_the_same_id_is_marked_and_kept() -> None:
    trace = Trace(traces.damaged())
    assert [node.name for node in trace.nodes if DUPLICATE in node.marks] == ["load rows again"]


def test_span_delivered_twice_counts_once() -> None:
    trace = Trace(traces.checkout() + traces.checkout()[:3])
    assert len(trace.nodes) == len(traces.checkout())
    assert trace.redelivered == 3
    assert not any(DUPLICATE in node.marks for node in trace.nodes)


def test_clock_skew_is_shown_and_not_corrected() -> None:
    trace = Trace(traces.damaged())
    early = next(node for node in trace.nodes if EARLY in node.marks)
    assert early.span.start_time_ns < trace.root.span.start_time_ns
    backwards = next(node for node in trace.nodes if BACKWARDS in node.marks)
    assert backwards.duration_ns == 0
    assert backwards.span.end_time_ns < backwards.span.start_time_ns


def test_span_that_starts_after_its_parent_s_end_is_marked() -> None:
    trace = Trace([span(1, 0, 0, 10, "root"), span(2, 1, 5, 50, "outlives"), span(3, 1, 20, 50, "begins later")])
    assert [node.name for node in trace.nodes if LATE in node.marks] == ["begins later"]


def test_a_message_that_is_processed_after_it_was_sent_is_in_order() -> None:
    sent, processed = span(2, 1, 0, 10, "send", kind=SpanKind.PRODUCER), span(3, 2, 20, 50, kind=SpanKind.CONSUMER)
    trace = Trace([span(1, 0, 0, 60, "root"), sent, processed])
    assert not any(node.marks for node in trace.nodes)


def test_root_is_the_span_without_a_parent_even_if_an_orphan_starts_earlier() -> None:
    trace = Trace([span(1, 0, 10, 20, "root"), span(2, 9, 0, 30, "orphan")])
    assert trace.root.name == "root"
    assert [node.name for node in trace.roots] == ["orphan", "root"]


def test_spans_of_two_traces_are_refused_and_can_be_parted() -> None:
    spans = [span(1), span(1, trace_id="f" * 32)]
    with pytest.raises(ValueError, match="group_traces"):
        Trace(spans)
    assert list(group_traces(spans)) == [traces.TRACE_ID, "f" * 32]


def test_no_spans_are_no_trace() -> None:
    with pytest.raises(ValueError, match="at least one span"):
        Trace([])


def test_like_siblings_are_folded_and_their_times_added() -> None:
    rows = layout(Trace(traces.checkout()))
    folded = [row for row in rows if row.count > 1]
    assert [(row.first.name, row.count) for row in folded] == [("SELECT stock", 12)]
    assert folded[0].self_time_ns == 12 * 16.5 * MS


def test_like_subtrees_are_folded_level_by_level() -> None:
    spans = [span(1, 0, 0, 100, "root")]
    for index in range(4):
        spans.append(span(10 + index, 1, 10 * index, 10 * index + 8, "GET"))
        for inner in range(1 + index):
            spans.append(span(100 + 10 * index + inner, 10 + index, 10 * index + inner, 10 * index + inner + 1, "row"))
    rows = [(row.first.name, row.count, row.depth) for row in layout(Trace(spans))]
    assert rows == [("root", 1, 0), ("GET", 4, 1), ("row", 10, 2)]


def test_failed_sibling_is_not_folded_away() -> None:
    spans = [span(1, 0, 0, 100, "root")]
    spans += [span(2 + index, 1, index, index + 1, "GET", error="no" if index == 4 else None) for index in range(9)]
    assert [row.count for row in layout(Trace(spans))] == [1, 4, 1, 4]
