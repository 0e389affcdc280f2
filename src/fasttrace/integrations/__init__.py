"""Instrumentation of other libraries: one file each, imported when it is asked for."""

from __future__ import annotations

from fasttrace._core.exceptions import set_cleaner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["instrument", "uninstrument"]


def instrument(*names: str, **options: Any) -> list[str]:
    """Trace libraries in the whole process: ``instrument("httpx", "redis")``. Calling it again changes nothing.

    Those named are imported and instrumented at once, with the options that their own ``instrument`` takes. Without
    names it is all that fasttrace knows and that is installed (FASTTRACE_INSTRUMENT chooses,
    OTEL_PYTHON_DISABLED_INSTRUMENTATIONS leaves out): what is imported at once, the rest when it is imported.
    Gives the names. Raises ConfigurationError for a name or an option that does not
    exist, MissingLibraryError for a library that is not installed.
    """
    from fasttrace.integrations import _registry

    return _registry.instrument(names, options)


def uninstrument(*names: str) -> list[str]:
    """Undo ``instrument`` for these names, or for all; gives those that were on."""
    from fasttrace.integrations import _registry

    return _registry.uninstrument(names)


def _clean(text: str) -> str:
    """The text of an exception without the secrets of URLs; what that takes is loaded for the first that may have some.

    Importing it puts it in this one's place.
    """
    if "?" not in text and "@" not in text:
        return text
    from fasttrace.integrations._secrets import clean_text

    return clean_text(text)


set_cleaner(_clean)
