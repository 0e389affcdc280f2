"""The pytest plugin: the fixture ``spans``, and the spans of a failed test in its report.

It is loaded in every session of pytest where fasttrace is installed: nothing is imported or traced before a test asks.
"""

from __future__ import annotations

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from typing import Any

    from fasttrace.testing.spans import Spans

MAX_TRACES = 5
_KEY: pytest.StashKey[Spans] = pytest.StashKey()


@pytest.fixture
def spans(request: pytest.FixtureRequest) -> Iterator[Spans]:
    """The spans of this test: ``spans.one("POST /orders")``, ``spans.tree()``, ``spans.max("SELECT*", count=3)``."""
    from fasttrace.testing.capture import capture_spans

    with capture_spans() as captured:
        request.node.stash[_KEY] = captured
        yield captured


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, None]:
    """Show a failed test's spans."""
    outcome = yield
    captured = item.stash.get(_KEY, None)
    if captured is not None:
        report = outcome.get_result()
        if report.failed:
            text = _drawn(captured)
            if text:
                report.sections.append(("fasttrace spans", text))


def _drawn(captured: Spans) -> str:
    """The waterfall, where what draws it is installed, else the tree."""
    try:
        # The one place below `local` that uses it: pytest stands above all of it.
        from fasttrace.local.model import Trace, group_traces
        from fasttrace.local.render import render_trace
        from fasttrace.local.terminal import Pen

        traces = [Trace(spans) for spans in group_traces(captured).values()]
        parts = ["\n".join(line.plain for line in render_trace(trace, Pen())) for trace in traces[:MAX_TRACES]]
        if len(traces) > MAX_TRACES:
            parts.append(f"and {len(traces) - MAX_TRACES} more traces")
        running = [line.strip(" ├└│─") for line in captured.tree().splitlines() if line.endswith("[running]")]
        return "\n\n".join([*parts, *running])
    except Exception:  # without rich, or whatever else: a test's failure is told all the same
        return captured.tree()
