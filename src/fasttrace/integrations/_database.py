"""What clients of databases have in common: the CLIENT span of a statement (OpenTelemetry, "Database client spans").

What an exception says is not recorded: databases put values into it. Its type and the database's code are.
"""

from __future__ import annotations

from fasttrace._core import SpanKind, StatusCode
from fasttrace._version import __version__
from fasttrace.context import Span, current_node
from fasttrace.integrations._http import asks, error_type
from fasttrace.integrations._statement import Statement, statements_of
from fasttrace.process import get_tracer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any, TypeVar

    from fasttrace._core import Tracer

    Result = TypeVar("Result")

__all__ = [
    "Database",
    "Options",
    "Switch",
    "database_tracer",
    "describe",
    "inside",
    "note_error",
    "run",
    "run_async",
    "statement_span",
]

CLIENT = SpanKind.CLIENT
_MAX_PARAMETERS = 100
_MAX_PARAMETER_CHARACTERS = 1_000
_CODES = ("sqlstate", "pgcode", "sqlite_errorname", "errno")

_UNREADABLE = Statement("query", {})

# Spans of these scopes are statements; what is below one is the same statement.
_SCOPES: set[str] = set()


def database_tracer(name: str) -> Tracer:
    """The tracer of an integration whose spans are statements."""
    _SCOPES.add(name)
    return get_tracer(name, __version__)


class Options:
    """What a user asked for."""

    __slots__ = ("capture_parameters", "transactions")

    def __init__(self, capture_parameters: bool = False, transactions: bool = False) -> None:
        self.capture_parameters = capture_parameters
        self.transactions = transactions


class Switch:
    """Says whether one connection is traced, as a patch does for a process: ``options`` are None when it is not."""

    __slots__ = ("options",)

    def __init__(self, options: Options) -> None:
        self.options: Options | None = options


class Database:
    """One database as its spans name it; one object for a connection, a client or an engine."""

    __slots__ = ("attributes", "code", "quiet", "statements", "tracer")

    def __init__(
        self,
        tracer: Tracer,
        system: str,
        namespace: str | None = None,
        address: str | None = None,
        port: int | None = None,
        statements: Any = None,
        code: Callable[[Exception], str] | None = None,
    ) -> None:
        self.tracer: Tracer = tracer
        # Whether what no span is above is left out; for the integration to heed.
        self.quiet: bool = False
        # What the database itself calls an error.
        self.code: Callable[[Exception], str] = code or status_code
        self.statements: Any = statements or statements_of(system)
        known = {"db.namespace": namespace, "server.address": address, "server.port": port}
        self.attributes: dict[str, Any] = {"db.system.name": system, **{k: v for k, v in known.items() if v}}


def run(
    database: Database,
    query: Any,
    function: Callable[..., Result],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    parameters: Any = None,
    batch: bool = False,
    note: Callable[[Span, Result], None] | None = None,
) -> Result:
    """Call a function, with the span of a statement around it unless the current span is a statement's already.

    ``parameters`` are recorded, or counted with ``batch``; ``note`` looks at the result for a recording span.
    """
    if inside():
        return function(*args, **kwargs)
    with statement_span(database, query) as span:
        recording = span.is_recording()
        if recording:
            describe(span, database, query, parameters, batch)
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            note_error(span, error, database.code)
            raise
        if recording and note is not None:
            _look(note, span, result)
        return result


async def run_async(
    database: Database,
    query: Any,
    function: Callable[..., Awaitable[Result]],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    parameters: Any = None,
    batch: bool = False,
    note: Callable[[Span, Result], None] | None = None,
) -> Result:
    """What ``run`` does, for a function to be awaited."""
    if inside():
        return await function(*args, **kwargs)
    with statement_span(database, query) as span:
        recording = span.is_recording()
        if recording:
            describe(span, database, query, parameters, batch)
        try:
            result = await function(*args, **kwargs)
        except BaseException as error:
            note_error(span, error, database.code)
            raise
        if recording and note is not None:
            _look(note, span, result)
        return result


def _look(note: Callable[[Span, Result], None], span: Span, result: Result) -> None:
    try:
        note(span, result)
    except Exception:  # a result that is not as the drivers known have it: the statement was executed all the same
        pass


def statement_span(database: Database, query: Any, current: bool = True) -> Span:
    """The span of a statement, to be entered; statements that nobody has seen yet are read when it records.

    ``current``: it becomes current when it is entered; otherwise it has started.
    """
    tracer = database.tracer
    attributes = None
    try:
        statement = database.statements.known(query)
    except TypeError:  # no hash
        statement = None
    if asks(tracer):
        statement = _statement(database, query)
        attributes = {**database.attributes, **statement.attributes}
    name = "query" if statement is None else statement.name
    start = tracer.start_as_current_span if current else tracer.start_span
    # Not the exception's own text and stack: see note_error.
    return start(name, None, CLIENT, attributes, None, None, False, False)


def inside() -> bool:
    """Whether the current span is a statement's."""
    node = current_node()
    return isinstance(node, Span) and node.scope.name in _SCOPES


def describe(span: Span, database: Database, query: Any, parameters: Any = None, batch: bool = False) -> None:
    """Put on a recording span what its statement is."""
    statement = _statement(database, query)
    span.update_name(statement.name)
    span.set_attributes(database.attributes)
    span.set_attributes(statement.attributes)
    if parameters is not None:
        try:
            _record(span, parameters, batch)
        except Exception:  # values of the user's own: the statement goes on without them
            pass


def _statement(database: Database, query: Any) -> Statement:
    try:
        found: Statement = database.statements.of(query)
        return found
    except Exception:  # a query that is none; whoever executes it says so
        return _UNREADABLE


def _record(span: Span, parameters: Any, batch: bool) -> None:
    if not batch:
        pairs = list(parameters.items() if hasattr(parameters, "items") else enumerate(parameters))
        for key, value in pairs[:_MAX_PARAMETERS]:
            span.set_attribute(f"db.query.parameter.{key}", str(value)[:_MAX_PARAMETER_CHARACTERS])
    elif hasattr(parameters, "__len__") and len(parameters) > 1:  # what has none is an iterator, and the driver's
        span.set_attribute("db.operation.batch.size", len(parameters))


def note_error(span: Span, error: BaseException, code_of: Callable[[Exception], str] | None = None) -> None:
    """Mark a statement's span as failed, or cancelled, without the words of the exception."""
    if isinstance(error, Exception):
        span.set_attribute("error.type", error_type(error))
        code = code_of and code_of(error)
        if code:
            span.set_attribute("db.response.status_code", code)
        span.set_status(StatusCode.ERROR, type(error).__name__)
    elif type(error).__name__ == "CancelledError":
        span.add_event("cancelled")


def status_code(error: Exception) -> str:
    """An SQLSTATE, or another code that a driver found in the database's answer; "" when there is none."""
    if isinstance(error, OSError):
        return ""
    for name in _CODES:
        code = getattr(error, name, None)
        if code and isinstance(code, (str, int)):
            return str(code)
    return ""
