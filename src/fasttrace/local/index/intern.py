"""Numbers for what repeats: services, attributes, resources and shapes, kept in the index and remembered here."""

from __future__ import annotations

import sqlite3
from hashlib import blake2b
from typing import Any

from fasttrace.local.facts import service_of, to_number, to_text

# A key with more values than this is no part of shapes.
MAX_VALUES = 64
# So are all keys beyond this number.
MAX_KEYS = 512
# After so many new shapes the key with most values leaves them: what varies freely would multiply them.
MAX_SHAPES = 4096
FEW_VALUES = 4
MAX_REMEMBERED = 50_000


class Key(dict[str, int]):
    """An attribute's key: its number, and the number of each of its values while it has few."""

    __slots__ = ("id", "spread")

    def __init__(self, number: int, spread: bool) -> None:
        super().__init__()
        self.id: int = number
        self.spread: bool = spread


class Interner:
    """Everything that has a number. Used within a transaction; ``forget`` when another process has written."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self.keys: dict[str, Key] = {}
        self.shapes: dict[tuple[Any, ...], int] = {}
        self._services: dict[str, int] = {}
        self._resources: dict[str, tuple[int, int]] = {}
        self._new_shapes = 0

    def forget(self) -> None:
        """Know nothing by heart any more."""
        self.keys.clear()
        self.shapes.clear()
        self._services.clear()
        self._resources.clear()

    def service(self, name: str) -> int:
        """The number of a service."""
        found = self._services.get(name)
        if found is None:
            found = self._services[name] = self._number("service", "name", name)
            if len(self._services) > MAX_REMEMBERED:
                self._services.clear()
        return found

    def _number(self, table: str, column: str, value: object, more: str = "", values: tuple[object, ...] = ()) -> int:
        """The id of a row with this value, made if it is not there."""
        row = self._database.execute(f"SELECT id FROM {table} WHERE {column} = ?", (value,)).fetchone()
        if row is not None:
            return int(row[0])
        marks = ", ?" * len(values)
        cursor = self._database.execute(
            f"INSERT INTO {table} ({column}{more}) VALUES (?{marks})",
            (value, *values),
        )
        return int(cursor.lastrowid or 0)

    def key(self, name: str) -> Key:
        """A key that is not remembered."""
        if len(self.keys) > MAX_REMEMBERED:
            self.keys.clear()
        row = self._database.execute("SELECT id, spread FROM key WHERE name = ?", (name,)).fetchone()
        if row is None:
            spread = len(self.keys) >= MAX_KEYS
            number = self._number("key", "name", name, ", spread", (spread,))
            found = Key(number, spread)
        else:
            found = Key(row[0], bool(row[1]))
            if not found.spread:
                rows = self._database.execute("SELECT value, id FROM pair WHERE key = ?", (found.id,))
                found.update(rows.fetchmany(MAX_VALUES + 1))
        self.keys[name] = found
        return found

    def value(self, key: Key, text: str) -> int | None:
        """The number of a value that is not remembered; None from the time on when the key has too many."""
        if key.spread:
            return None
        if len(key) >= MAX_VALUES:
            self._spread(key)
            return None
        found = key[text] = self._pair(key.id, text)
        return found

    def _pair(self, key: int, text: str) -> int:
        row = self._database.execute("SELECT id FROM pair WHERE key = ? AND value = ?", (key, text)).fetchone()
        if row is not None:
            return int(row[0])
        cursor = self._database.execute(
            "INSERT INTO pair (key, value, number) VALUES (?, ?, ?)", (key, text, to_number(text))
        )
        return int(cursor.lastrowid or 0)

    def _spread(self, key: Key) -> None:
        """From now on its values are postings. What shapes already have of it stays there."""
        key.spread = True
        key.clear()
        self._database.execute("UPDATE key SET spread = 1 WHERE id = ?", (key.id,))

    def resource(self, attributes: dict[str, Any]) -> tuple[int, int]:
        """The numbers of a resource and of its service."""
        text = repr(attributes)
        found = self._resources.get(text)
        if found is None:
            if len(self._resources) > MAX_REMEMBERED:
                self._resources.clear()
            service = self.service(service_of(attributes))
            digest = blake2b(text.encode(), digest_size=16).digest()
            row = self._database.execute("SELECT id FROM resource WHERE digest = ?", (digest,)).fetchone()
            if row is None:
                number = self._number("resource", "digest", digest, ", service", (service,))
                pairs = {
                    self._pair((self.keys.get(key) or self.key(key)).id, to_text(value))
                    for key, value in attributes.items()
                }
                self._database.executemany(
                    "INSERT INTO resource_pair VALUES (?, ?)", [(pair, number) for pair in pairs]
                )
            else:
                number = row[0]
            found = self._resources[text] = (number, service)
        return found

    def shape(self, signature: tuple[Any, ...]) -> int:
        """The number of a shape that is not remembered.

        ``signature`` is (service, name, kind, failed, status, route, numbers of attributes ...).
        """
        if len(self.shapes) > MAX_REMEMBERED:
            self.shapes.clear()
        service, name, kind, failed, status, route, *attributes = signature
        head = (service, to_text(name), kind, failed, status, to_text(route))
        pairs = sorted(set(attributes))
        digest = blake2b(repr((head, pairs)).encode(), digest_size=16).digest()
        row = self._database.execute("SELECT id FROM shape WHERE digest = ?", (digest,)).fetchone()
        if row is None:
            columns = ", service, name, kind, error, status, route, spans"
            number = self._number("shape", "digest", digest, columns, (*head, 0))
            self._database.executemany("INSERT INTO shape_pair VALUES (?, ?)", [(pair, number) for pair in pairs])
            self._count_shape()
        else:
            number = row[0]
        self.shapes[signature] = number
        return number

    def _count_shape(self) -> None:
        self._new_shapes += 1
        if self._new_shapes % MAX_SHAPES == 0:
            widest = max((key for key in self.keys.values() if not key.spread), key=len, default=None)
            if widest is not None and len(widest) > FEW_VALUES:
                self._spread(widest)
                self.shapes.clear()
