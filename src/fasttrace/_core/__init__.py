"""Picks one implementation of the core, once, for all of its modules, and remembers why.

``FASTTRACE_IMPL``: ``cython`` demands the compiled one, ``python`` the pure one, ``auto`` (the
default) takes the compiled one and falls back, with a warning, only where it is not installed, or in a
subinterpreter, since its state belongs to the interpreter that loaded it first.
"""

from __future__ import annotations

import os

from fasttrace._core.types import (
    DecodeError,
    Event,
    InstrumentationScope,
    Link,
    SpanData,
    SpanKind,
    SpanLimits,
    SpanLink,
    Status,
    StatusCode,
    TraceState,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

MODULES = ("ids", "context", "headers", "otlp", "decode", "ring", "store", "tail", "span")


def _missing(error: ModuleNotFoundError) -> bool:
    """Whether an extension is not there, as opposed to one that is there and broken."""
    return (error.name or "").startswith("fasttrace._core._cython")


def _refused(error: ImportError) -> bool:
    """Whether this is a subinterpreter, where extensions with one state for the process may not be loaded."""
    return not isinstance(error, ModuleNotFoundError) and "interpreter" in str(error)


def load(name: str) -> tuple[str, str, dict[str, ModuleType]]:
    """The implementation, the reason for it and its modules, for a value of ``FASTTRACE_IMPL``."""
    if name not in ("auto", "cython", "python"):
        raise ImportError(f"FASTTRACE_IMPL={name!r}: use auto, cython or python")
    if name == "python":
        return "python", "FASTTRACE_IMPL=python", _modules("_python")
    try:
        modules = _modules("_cython")
    except ImportError as error:
        refused = _refused(error)
        if not refused and not (isinstance(error, ModuleNotFoundError) and _missing(error)):
            raise
        if name == "cython":
            raise ImportError(
                f"FASTTRACE_IMPL=cython, but the compiled core serves one interpreter of a process ({error}). "
                "FASTTRACE_IMPL=python runs in subinterpreters."
                if refused
                else f"FASTTRACE_IMPL=cython, but the compiled core is not installed ({error}). Install a wheel for "
                "this Python, or build with a C compiler (FASTTRACE_BUILD=cython); FASTTRACE_IMPL=python runs without."
            ) from error
        reason = f"in a subinterpreter: {error}" if refused else f"no compiled extension: {error}"
        import warnings

        warnings.warn(
            f"fasttrace runs on its pure-Python core, many times slower ({reason}). Set FASTTRACE_IMPL=python "
            "if that is what you want.",
            RuntimeWarning,
            stacklevel=2,
        )
        return "python", reason, _modules("_python")
    reason = "FASTTRACE_IMPL=cython" if name == "cython" else "compiled extension loaded"
    return "cython", reason, modules


def _modules(package: str) -> dict[str, ModuleType]:
    # importlib itself would be a twentieth of what importing fasttrace costs.
    return {name: __import__(f"fasttrace._core.{package}.{name}", fromlist=(name,)) for name in MODULES}


def _is_the_command() -> bool:
    """Whether this process is ``fasttrace`` or ``python -m fasttrace``, which says in a line what is wrong."""
    import sys

    arguments = getattr(sys, "argv", None)  # absent where Python is embedded
    started = sys.orig_argv[-len(arguments)] if arguments and len(arguments) <= len(sys.orig_argv) else ""
    return os.path.basename(started) in ("fasttrace", "fasttrace.exe")


def _choose() -> tuple[str, str, dict[str, ModuleType], str]:
    """What ``load`` finds; for the command, which looks at it, also why no application could import fasttrace."""
    try:
        return *load(os.environ.get("FASTTRACE_IMPL") or "auto"), ""
    except ImportError as error:
        if not _is_the_command():
            raise
        return *load("python"), str(error)


IMPL, IMPL_REASON, _loaded, IMPL_ERROR = _choose()

if TYPE_CHECKING:
    # The pure-Python core is the typed one; the compiled one has the same names and signatures.
    from fasttrace._core._python import decode, headers, ids, otlp
    from fasttrace._core._python.context import Context, SpanContext, attach, current_node, detach, set_foreign
    from fasttrace._core._python.ring import Ring
    from fasttrace._core._python.span import Recorder, Span, Tracer, current_span
    from fasttrace._core._python.store import Store
else:
    ids, headers, otlp, decode = (_loaded[name] for name in ("ids", "headers", "otlp", "decode"))
    Context, SpanContext = _loaded["context"].Context, _loaded["context"].SpanContext
    attach, detach, current_node = (getattr(_loaded["context"], name) for name in ("attach", "detach", "current_node"))
    set_foreign = _loaded["context"].set_foreign
    Ring, Store = _loaded["ring"].Ring, _loaded["store"].Store
    Recorder, Span, Tracer = (getattr(_loaded["span"], name) for name in ("Recorder", "Span", "Tracer"))
    current_span = _loaded["span"].current_span

__all__ = [
    "IMPL",
    "IMPL_ERROR",
    "IMPL_REASON",
    "Context",
    "DecodeError",
    "Event",
    "InstrumentationScope",
    "Link",
    "Recorder",
    "Ring",
    "Span",
    "SpanContext",
    "SpanData",
    "SpanKind",
    "SpanLimits",
    "SpanLink",
    "Status",
    "StatusCode",
    "Store",
    "TraceState",
    "Tracer",
    "attach",
    "current_node",
    "current_span",
    "decode",
    "detach",
    "headers",
    "ids",
    "otlp",
    "set_foreign",
]
