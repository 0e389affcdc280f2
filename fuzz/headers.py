"""Coverage-guided fuzzing of the compiled header parsers, with the pure-Python ones as the oracle.

Run by ``scripts/fuzz``, which builds the extensions with clang so that libFuzzer sees their branches. Whatever comes
in, nothing may crash or raise, and both implementations must say the same.
"""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import atheris

from fasttrace import _core

CORES = [SimpleNamespace(**_core.load(name)[2]) for name in ("cython", "python")]


def said(context: Any) -> Any:
    """All that a parsed context says."""
    if context is None:
        return None
    ids = getattr(context, "span_context", context)
    fields = ids and (ids.trace_id, ids.span_id, ids.trace_flags, ids.is_remote, ids.trace_state.to_header())
    return fields, getattr(context, "sampled", None), getattr(context, "values", None)


def one_input(data: bytes) -> None:
    """The bytes as every header, as bytes and as text."""
    text = data.decode("utf-8", "surrogateescape")
    latin = data.decode("latin-1")
    answers = []
    for core in CORES:
        headers = core.headers
        found: list[Any] = []
        for value in (data, text, latin):
            for context in (headers.parse_traceparent(value), headers.parse_b3(value)):
                found.append(said(context))
                if context is not None:
                    found += [headers.format_traceparent(context), headers.format_b3(context)]
        found.append(said(headers.decode_binary(data)))
        for carrier in ({"traceparent": latin, latin: latin}, [(b"traceparent", data), (data[:11], data)]):
            found.append(said(headers.extract_w3c(carrier)))
        try:
            found.append(repr([span.name for span in core.decode.decode_request(data)]))
        except ValueError as error:
            found.append(str(error))
        answers.append(found)
    assert answers[0] == answers[1], (data, answers)


atheris.Setup(sys.argv, one_input)
atheris.Fuzz()
