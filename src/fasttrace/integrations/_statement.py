"""What may be known of an SQL statement: its text without literals, its operation and the table it is about.

One pass over a statement that is seen for the first time; after that a look into a dict. Literals are gone whatever
the dialect: where one can't tell whether a backslash escapes, or what double quotes are for, there is no text.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Statement", "Statements", "statements_of"]

# Longer statements are cut; a program that writes values into its statements must not fill the memory with them.
MAX_CHARACTERS = 10_000
MAX_KNOWN = 1_000
_MAX_NAME = 80

# Dialects whose strings escape by a backslash, and may stand in double quotes.
_BACKSLASH = frozenset(("mysql", "mariadb", "clickhouse", "gcp.spanner"))
_STANDARD = frozenset(("postgresql", "sqlite", "oracle.db", "microsoft.sql_server", "cockroachdb", "duckdb", "ibm.db2"))

_NAME = r'(?:[^\W\d][\w$#]*|"[^"]*"|`[^`]*`)'
_SHARED = rf"""
    | (?P<comment>--[^\n]*|/\*(?:.*?\*/|.*))
    | (?P<name>{_NAME}(?:\.{_NAME})*)
    | (?P<parameter>[:@$?][^\W\d]\w*|[:$?]\d+)
    | (?P<number>\d(?:[\w.]*(?:(?<=[eE])[+-]\d+)?))
    | (?P<bracket>[()])
"""
_DOLLARS = r"\$(?P<tag>[^\W\d]\w*|)\$.*?(?:\$(?P=tag)\$|\Z)"
_STANDARD_LITERAL = rf"""
    (?P<literal>
        [eE]'(?:[^'\\]|\\.|'')*(?:'|\\?\Z)
      | [nN]?[qQ]'(?:\[.*?(?:\]'|\Z) | \{{.*?(?:\}}'|\Z) | \(.*?(?:\)'|\Z) | <.*?(?:>'|\Z)
          | (?P<quote>\S).*?(?:(?P=quote)'|\Z))
      | (?:[nNxXbBrR]|[uU]&)?'[^']*(?:''[^']*)*(?:'|\Z)
      | {_DOLLARS}
    )
"""
_BACKSLASH_LITERAL = rf"""
    (?P<literal>
        (?:[nNxXbB]|_[a-z0-9]+\ ?)?'(?:[^'\\]|\\.|'')*(?:'|\\?\Z)
      | "(?:[^"\\]|\\.|"")*(?:"|\\?\Z)
      | {_DOLLARS}
    )
  | (?P<mysql_comment>\#[^\n]*)
"""
_FLAGS = re.VERBOSE | re.DOTALL
_TOKENS = re.compile(_STANDARD_LITERAL + _SHARED, _FLAGS)
_BACKSLASH_TOKENS = re.compile(_BACKSLASH_LITERAL + _SHARED, _FLAGS)

_QUERIES = frozenset(("SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE"))
_DEFINITIONS = frozenset(("CREATE", "ALTER", "DROP"))
_OBJECTS = frozenset(("TABLE", "INDEX", "VIEW", "SCHEMA", "DATABASE", "SEQUENCE", "TYPE", "FUNCTION", "TRIGGER"))
# After these comes the name of what an operation is about, unless one of the others stands between.
_BEFORE_TARGET = frozenset(("INTO", "JOIN", "TABLE"))
_ABOUT = frozenset(("UPDATE", "CALL", "EXEC", "COPY", "TRUNCATE", "ANALYZE", "VACUUM", "LOCK", "REPLACE"))
_BETWEEN = frozenset(("IF", "NOT", "EXISTS", "ONLY", "LATERAL", "TABLE", "INTO", "OR", "ROLLBACK", "ABORT", "IGNORE"))


class Statement:
    """One statement as spans show it: ``name`` is ``SELECT orders``, ``attributes`` are OpenTelemetry's."""

    __slots__ = ("attributes", "name")

    def __init__(self, name: str, attributes: dict[str, Any]) -> None:
        self.name = name
        self.attributes = attributes


class Statements:
    """The statements of one dialect that have been seen, by their text; never more than so many."""

    __slots__ = ("_backslash", "_certain", "_known", "known")

    def __init__(self, system: str) -> None:
        self._backslash = system in _BACKSLASH
        self._certain = self._backslash or system in _STANDARD
        self._known: dict[Any, Statement] = {}
        self.known = self._known.get

    def of(self, query: Any) -> Statement:
        """What may be known of a statement: text, bytes, or what psycopg composes one of."""
        text = _text(query)
        found = self._known.get(text)
        if found is None:
            found = self._read(text[:MAX_CHARACTERS])
            if len(text) <= MAX_CHARACTERS:
                if len(self._known) >= MAX_KNOWN:
                    self._known.clear()
                self._known[text] = found
        return found

    def _read(self, text: str) -> Statement:
        reader = _Reader()
        shown = (_BACKSLASH_TOKENS if self._backslash else _TOKENS).sub(reader.token, text).strip()
        attributes: dict[str, Any] = {}
        if reader.operation:
            attributes["db.operation.name"] = reader.operation
        if len(reader.targets) == 1:
            attributes["db.collection.name"] = reader.targets[0]
        if shown and (self._certain or not ("\\" in text or '"' in text)):
            attributes["db.query.text"] = shown
        return Statement(" ".join(filter(None, (reader.operation or "query", reader.target()))), attributes)


class _Reader:
    """Reads the tokens of one statement: what is shown of each, and what the statement does to which table."""

    __slots__ = ("_before", "_depth", "_expects", "_last", "_queries", "operation", "targets")

    def __init__(self) -> None:
        self.operation = ""
        self.targets: list[str] = []
        self._before = 0  # how many of the targets stand in the WITH of a statement that changes another
        self._expects = False
        self._last = ""
        self._depth = 0
        # The depths of brackets at which a query has begun: only there is FROM followed by a table.
        self._queries: set[int] = set()

    def target(self) -> str:
        """The table that the statement is about, "" without one."""
        return next(iter(self.targets[self._before :] or self.targets), "")

    def token(self, match: re.Match[str]) -> str:
        """What is shown of a token."""
        kind = match.lastgroup
        text = match.group()
        if kind == "name":
            self._word(text)
            return text
        if kind == "comment" or kind == "mysql_comment":
            return " "
        self._expects = False
        if kind == "bracket":
            self._bracket(text)
        return text if kind == "bracket" or kind == "parameter" else "?"

    def _bracket(self, bracket: str) -> None:
        if bracket == "(":
            self._depth += 1
            return
        self._queries.discard(self._depth)
        self._depth -= 1

    def _word(self, text: str) -> None:
        word = text.upper()
        last, self._last = self._last, word
        if not self.operation or (self.operation == "WITH" and word in _QUERIES and not self._depth):
            self._before = 0 if word == "SELECT" else len(self.targets)
            self.operation = word[:_MAX_NAME]
            self._expects = word in _ABOUT
        elif self.operation in _DEFINITIONS and word in _OBJECTS:
            self.operation = f"{self.operation} {word}"
            self._expects = True
            return
        elif word in _BEFORE_TARGET:
            self._expects = True
        elif word == "FROM":
            self._expects = self._depth in self._queries and last != "DISTINCT"
        elif self._expects and word not in _BETWEEN:
            self._expects = False
            target = text.replace('"', "").replace("`", "")[:_MAX_NAME]
            if target not in self.targets:
                self.targets.append(target)
        if word in _QUERIES:
            self._queries.add(self._depth)


def _text(query: Any) -> str:
    try:
        if isinstance(query, str):
            return query
        if isinstance(query, bytes):
            return query.decode("utf-8", "replace")
        if hasattr(query, "as_string"):  # psycopg.sql
            return str(query.as_string(None))
        return "?".join(query.strings)  # a template string (PEP 750)
    except Exception:  # the driver says what is wrong with it
        return ""


_dialects: dict[str, Statements] = {}


def statements_of(system: str) -> Statements:
    """The statements of a dialect, by its ``db.system.name``."""
    return _dialects.get(system) or _dialects.setdefault(system, Statements(system))
