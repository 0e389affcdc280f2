"""sentry-sdk in its faster mode, which streams spans, with a transport that throws away and no integrations."""

from __future__ import annotations

from typing import Any

import cases

REQUIREMENTS = ("sentry-sdk==2.75.0",)


def make(endpoint: str, *, sampled: bool) -> cases.Subject:
    import sentry_sdk
    from sentry_sdk import traces

    class Nowhere(sentry_sdk.Transport):  # type: ignore[misc, no-any-unimported]
        def capture_envelope(self, envelope: Any) -> None:
            pass

    sentry_sdk.init(
        dsn="http://key@127.0.0.1:9/1",
        transport=Nowhere,
        traces_sample_rate=float(sampled),
        trace_lifecycle="stream",
        default_integrations=False,
        auto_enabling_integrations=False,
        auto_session_tracking=False,
    )
    names = {
        "start": traces.start_span,
        "current": traces.get_current_span,
        "extract": traces.continue_trace,
        "traceparent": sentry_sdk.get_traceparent,
        "baggage": sentry_sdk.get_baggage,
        "OWN": {**cases.REQUEST_HEADERS, "sentry-trace": "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1"},
    }
    say = cases.Dialect(
        event=None,
        current="current()",
        extract="extract(OWN)",
        inject="{'sentry-trace': traceparent(), 'b': baggage()}",
    )

    def drain() -> int:
        sentry_sdk.flush()
        return 0

    return cases.Subject("sentry-sdk", cases.build(say, names, None if sampled else names), drain)
