"""Hypothesis strategies for what users hand to spans, and the official messages as the oracle."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
KEYS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
INTEGERS = st.one_of(
    st.integers(-(2**63), 2**63 - 1), st.sampled_from([0, 1, -1, 127, 128, 2**31, 2**63 - 1, -(2**63)])
)
FLOATS = st.floats(allow_nan=False)
SCALARS = st.one_of(st.none(), st.booleans(), INTEGERS, FLOATS, TEXT, st.binary(max_size=20))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=8,
)
ATTRIBUTES = st.dictionaries(KEYS, VALUES, max_size=6)


class Text(str):
    def __str__(self) -> str:
        raise RuntimeError("must not be called")


class Broken:
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Chatty:
    def __str__(self) -> str:
        return "chatty"


# What is no attribute value: converted, or dropped and counted, never raised.
NASTY = st.one_of(
    VALUES,
    st.integers(2**63, 2**200),
    st.integers(-(2**200), -(2**63) - 1),
    st.floats(),
    st.text(max_size=10),  # lone surrogates included
    st.sampled_from([Text("text"), Broken(), Chatty(), object, ..., 1j, range(3), bytearray(b"x"), memoryview(b"y")]),
    st.lists(st.sampled_from([Broken(), Text("t"), 1, None]), max_size=3).map(tuple),
    st.dictionaries(st.one_of(st.text(max_size=3), st.integers(0, 3)), st.sampled_from([Broken(), 1, "x"]), max_size=3),
)
NASTY_KEYS = st.one_of(KEYS, st.sampled_from(["", None, 7, b"bytes", Text("key"), Broken()]))


def any_value(value: Any) -> AnyValue:
    """The official message for a value."""
    if value is None:
        return AnyValue()
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, str):
        return AnyValue(string_value=value)
    if isinstance(value, bytes):
        return AnyValue(bytes_value=value)
    if isinstance(value, dict):
        return AnyValue(kvlist_value=KeyValueList(values=key_values(value)))
    return AnyValue(array_value=ArrayValue(values=[any_value(item) for item in value]))


def key_values(attributes: dict[str, Any]) -> list[KeyValue]:
    """The official messages for attributes."""
    return [KeyValue(key=key, value=any_value(value)) for key, value in attributes.items()]


def frozen(value: Any) -> Any:
    """A value as the decoder gives it back: sequences as tuples or lists are one."""
    if isinstance(value, (list, tuple)):
        return [frozen(item) for item in value]
    if isinstance(value, dict):
        return {key: frozen(item) for key, item in value.items()}
    return value
