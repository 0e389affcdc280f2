"""Figures and foreign text in the terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fasttrace.local.bars import Axis, format_tick, share_bar
from fasttrace.local.text import clean, format_duration, format_percent, named, plural, to_ascii


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0 ns"),
        (999, "999 ns"),
        (1_000, "1.00 µs"),
        (340_000, "340 µs"),
        (999_499, "999 µs"),
        (999_500, "1.00 ms"),
        (9_996_000, "10.0 ms"),
        (41_200_000, "41.2 ms"),
        (1_710_000_000, "1.71 s"),
        (99_960_000_000, "100 s"),
        (125_000_000_000, "2m 05s"),
        (5_999_000_000_000, "99m 59s"),
        (6_000_000_000_000, "1h 40m"),
        (359_999_000_000_000, "99h 59m"),
        (360_000_000_000_000, "4d 04h"),
        (100 * 86_400 * 10**9 - 10**9, "99d 23h"),
        (1_796_000_000 * 10**9, "20787d"),
        (-3_000_000, "-3.00 ms"),
    ],
)
def test_durations_have_three_digits_and_a_unit(ns: int, text: str) -> None:
    assert format_duration(ns) == text


@given(st.integers(0, 2**64))
def test_durations_fit_the_column(ns: int) -> None:
    assert len(format_duration(ns)) <= 7


@pytest.mark.parametrize(
    ("part", "whole", "text"), [(0, 10, "0 %"), (1, 1000, "<1 %"), (3, 4, "75 %"), (4, 4, "100 %"), (1, 0, "0 %")]
)
def test_shares_are_whole_percents(part: int, whole: int, text: str) -> None:
    assert format_percent(part, whole) == text


@given(st.text())
def test_foreign_text_cannot_move_the_cursor(text: str) -> None:
    assert clean(text).replace("\u200c", "").replace("\u200d", "").isprintable()
    assert to_ascii(clean(text)).isascii()
    assert len(clean(text)) == len(text)


def test_escape_sequences_and_direction_overrides_are_inert() -> None:
    assert clean("a\x1b[31mb\u202ec\r\nd") == "a\ufffd[31mb\ufffdc  d"


def test_what_is_written_with_joiners_stays_as_it_is() -> None:
    for text in ("نمی\u200cخواهم", "क्\u200dष", "\U0001f468\u200d\U0001f469\u200d\U0001f467"):
        assert clean(text) == text


def test_a_long_name_does_not_bury_its_sentence() -> None:
    assert named("GET /orders\n") == "`GET /orders `"
    assert named("x" * 80) == f"`{'x' * 80}`" and named("x" * 81) == f"`{'x' * 79}…`"


@given(st.integers(0, 10**12), st.integers(0, 10**12), st.integers(0, 10**12), st.integers(10, 150))
def test_bars_stay_inside_the_axis_and_are_never_invisible(start: int, length: int, at: int, width: int) -> None:
    axis = Axis(start, start + length, width)
    first, last = axis.halves(start + min(at, length), start + length)
    assert 0 <= first < last <= 2 * width


@given(st.integers(0, 10**13), st.integers(10, 150))
def test_scale_is_as_wide_as_the_axis_and_ends_with_the_full_time(length: int, width: int) -> None:
    scale = Axis(0, length, width).scale()
    assert len(scale) == width
    assert scale.endswith(format_duration(length))


def test_ticks_are_round_times() -> None:
    assert Axis(0, 2_310_000_000, 60).scale().split() == ["0", "0.5", "s", "1.0", "s", "1.5", "s", "2.31", "s"]
    assert format_tick(500_000_000, 500_000_000, 2_310_000_000) == "0.5 s"
    assert format_tick(100_000_000, 100_000_000, 399_000_000) == "100 ms"
    assert format_tick(7, 1, 30) == "7 ns"


def test_share_bars_are_as_long_as_the_share() -> None:
    assert share_bar(1, 2, 10, unicode=True) == "█████"
    assert share_bar(1, 3, 10, unicode=True) == "███▍"
    assert share_bar(1, 2, 10, unicode=False) == "#####"
    assert share_bar(0, 0, 10, unicode=True) == ""


def test_counts_agree_with_their_noun() -> None:
    assert [plural(count, "span") for count in (0, 1, 1200)] == ["0 spans", "1 span", "1,200 spans"]
