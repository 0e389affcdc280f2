"""Spans in tests: ``capture_spans()``, and for pytest the fixture ``spans``, which is there without being imported."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from fasttrace.testing.capture import capture_spans as capture_spans
    from fasttrace.testing.spans import Spans as Spans

__all__ = ["Spans", "capture_spans"]

# Loaded when asked for: every session of pytest loads the plugin, and this with it.
_LATER = {"Spans": "spans", "capture_spans": "capture"}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        import importlib

        return getattr(importlib.import_module(f"{__name__}.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
