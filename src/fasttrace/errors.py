"""The exceptions, one tree.

FasttraceError
├── ConfigurationError (ValueError)   a setting that can't be used
├── ExportError                       a batch that was not delivered
├── SpoolError                        a spool that can't be written or read
├── ReadOnlySpanError (TypeError)     a span that has ended was written to, by a processor of OpenTelemetry's shape
├── MissingExtraError                 a command or class whose optional packages are not installed
└── MissingLibraryError               a library that is to be instrumented and is not installed

Recording never raises any of them; they come from ``configure``, from constructors and from exporters.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fasttrace.export.base import Batch


class FasttraceError(Exception):
    """The base of all that fasttrace raises."""


class ConfigurationError(FasttraceError, ValueError):
    """A setting that can't be used; the text names it, its value and what is accepted."""


class ExportError(FasttraceError):
    """A batch that was not delivered.

    ``retryable``: sending it again may help. ``ambiguous``: it may have arrived (a timeout or a reset). ``too_large``:
    it was refused for its size. ``delivered_spans``: how many of its spans did arrive, in other requests than the one
    that failed; ``rejected_spans``: how many of those the receiver refused. ``undelivered``: the parts of the batch
    that are worth another try, if it was sent in parts. ``status``: HTTP's, 0 without an answer. ``retry_after``: the
    seconds that the receiver asked to wait, or None.
    """

    def __init__(
        self, message: str, *, retryable: bool = False, ambiguous: bool = False, too_large: bool = False
    ) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.ambiguous = ambiguous
        self.too_large = too_large
        self.status = 0
        self.delivered_spans = 0
        self.rejected_spans = 0
        self.undelivered: list[Batch] | None = None
        self.retry_after: float | None = None


class SpoolError(FasttraceError):
    """A spool that can't be written or read; the text says what to do. ``full``: for want of room."""

    full = False


class ReadOnlySpanError(FasttraceError, TypeError):
    """A span that has ended was written to; the text names the place where it can be changed."""


class MissingExtraError(FasttraceError, ImportError):
    """An optional package that is not installed; the text says how to install it."""

    def __init__(self, what: str, extra: str) -> None:
        from fasttrace._distribution import distribution_name  # not part of what every import costs

        name = distribution_name()
        super().__init__(f'{what} needs packages that are not installed: pip install "{name}[{extra}]"')


class MissingLibraryError(FasttraceError, ImportError):
    """A library that is to be instrumented and is not installed; the text says how to install it."""
