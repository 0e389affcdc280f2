"""What was found: sections of findings, each ok, a warning or an error, with what to do about it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fasttrace._version import __version__

# Raised when a name or type below changes its meaning; new names do not count.
SCHEMA = 1


class Finding:
    """One line: a name, a status (``ok``, ``warning``, ``error``), what was found, what to do, and plain values."""

    __slots__ = ("advice", "data", "name", "status", "text")

    def __init__(self, name: str, status: str, text: str, advice: str, data: dict[str, Any]) -> None:
        self.name: str = name
        self.status: str = status
        self.text: str = text
        self.advice: str = advice
        self.data: dict[str, Any] = data

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return {name: getattr(self, name) for name in ("name", "status", "text", "advice", "data")}


class Report:
    """Sections in the order in which they were begun; ``ok``, ``warning`` and ``error`` add to the last one."""

    def __init__(self) -> None:
        self.sections: list[tuple[str, list[Finding]]] = []

    def begin(self, section: str) -> None:
        """Begin a section."""
        self.sections.append((section, []))

    def ok(self, name: str, text: str, advice: str = "", **data: Any) -> None:
        """Something that is as it should be."""
        self._add(name, "ok", text, advice, data)

    def warning(self, name: str, text: str, advice: str = "", **data: Any) -> None:
        """Something that works, but perhaps not as it was meant."""
        self._add(name, "warning", text, advice, data)

    def error(self, name: str, text: str, advice: str = "", **data: Any) -> None:
        """Something that keeps spans from being recorded or delivered."""
        self._add(name, "error", text, advice, data)

    def _add(self, name: str, status: str, text: str, advice: str, data: dict[str, Any]) -> None:
        self.sections[-1][1].append(Finding(name, status, text, advice, data))

    @contextmanager
    def warnings(self, name: str) -> Iterator[None]:
        """Findings instead of warnings: a bad OTEL_* variable counts as unset."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
        for text in dict.fromkeys(str(item.message) for item in caught):
            self.warning(name, text)

    def count(self, status: str) -> int:
        """How many findings have a status."""
        return sum(finding.status == status for _, findings in self.sections for finding in findings)

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return {
            "schema": SCHEMA,
            "version": __version__,
            "ok": not self.count("error"),
            "errors": self.count("error"),
            "warnings": self.count("warning"),
            "sections": [
                {"name": name, "findings": [finding.to_dict() for finding in findings]}
                for name, findings in self.sections
            ],
        }
