"""The ``tracestate`` of a span context (W3C Trace Context level 2, section 3.3)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from re import Pattern

MAX_MEMBERS = 32
_member: Pattern[str] | None = None


def _pattern() -> Pattern[str]:
    """A member without blanks around it. Each class is fixed in length or bounded by its neighbour: linear time."""
    global _member
    if _member is None:
        import re

        key = r"[a-z0-9][a-z0-9_\-*/@]{0,255}"
        value = r"[ -+\--<>-~]{0,255}[!-+\--<>-~]"
        _member = re.compile(f"({key})=({value})")
    return _member


class TraceState:
    """The ``tracestate`` header of a span context, read on demand.

    Behaves as a read-only mapping in the order of the header; of a key that stands there twice the first value
    counts. Edits give a new one, with the edited member in front (section 3.5). Equality is that of the text.
    """

    __slots__ = ("_header", "_members")

    def __init__(self, header: str = "") -> None:
        self._header = header
        self._members: dict[str, str] | None = None

    @classmethod
    def from_header(cls, fields: Iterable[str]) -> TraceState:
        """The fields of a request as one list, in order; empty when a member is invalid or there are more than 32."""
        members: list[str] = []
        for field in fields:
            for member in field.split(","):
                stripped = member.strip(" \t")
                if stripped:
                    members.append(stripped)
        if len(members) > MAX_MEMBERS:
            return cls()
        match = _pattern().fullmatch
        if not all(match(member) for member in members):
            return cls()
        return cls(",".join(members))

    def _read(self) -> dict[str, str]:
        if self._members is None:
            members: dict[str, str] = {}
            for member in self._header.split(","):
                key, equals, value = member.strip(" \t").partition("=")
                if equals:
                    members.setdefault(key, value)
            self._members = members
        return self._members

    def to_header(self) -> str:
        """The header's text, "" when there are no members."""
        return self._header

    def add(self, key: str, value: str) -> TraceState:
        """With this member in front and nowhere else; a 33rd pushes out the last. As it is for an invalid member."""
        if _pattern().fullmatch(f"{key}={value}") is None or "=" in value:
            return self
        others = [f"{name}={text}" for name, text in self._read().items() if name != key]
        return TraceState(",".join([f"{key}={value}", *others[: MAX_MEMBERS - 1]]))

    def update(self, key: str, value: str) -> TraceState:
        """The same as ``add``: a changed member goes to the front, too."""
        return self.add(key, value)

    def delete(self, key: str) -> TraceState:
        """Without this member, the others in their order."""
        if key not in self._read():
            return self
        return TraceState(",".join(f"{name}={text}" for name, text in self._read().items() if name != key))

    def get(self, key: str, default: str | None = None) -> str | None:
        """The value of a member, or the default."""
        return self._read().get(key, default)

    def __getitem__(self, key: str) -> str:
        return self._read()[key]

    def __contains__(self, key: object) -> bool:
        return key in self._read()

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def keys(self) -> Iterable[str]:
        """The members' keys in the order of the header."""
        return self._read().keys()

    def values(self) -> Iterable[str]:
        """The members' values in the order of the header."""
        return self._read().values()

    def items(self) -> Iterable[tuple[str, str]]:
        """The members in the order of the header."""
        return self._read().items()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TraceState) and self._header == other._header

    def __hash__(self) -> int:
        return hash(self._header)

    def __repr__(self) -> str:
        return f"TraceState({self._header!r})"


def randomness(header: str) -> int | None:
    """The 56 bits of ``ot=rv:``, which stand for those of the trace id; None without valid ones.

    OpenTelemetry, "TraceState: Probability Sampling".
    """
    for part in (TraceState(header).get("ot") or "").split(";"):
        if part.startswith("rv:") and len(part) == 17 and not set(part[3:]) - set("0123456789abcdef"):
            return int(part[3:], 16)
    return None


def with_threshold(header: str | None, threshold: str | None) -> str | None:
    """A tracestate whose ``ot`` member has this part (``th:c``) for the threshold, or none; the others as they are."""
    state = TraceState(header or "")
    others = [part for part in (state.get("ot") or "").split(";") if ":" in part and not part.startswith("th:")]
    state = state.delete("ot")
    parts = others if threshold is None else [threshold, *others]
    changed = state.add("ot", ";".join(parts)) if parts else state
    if changed is state and threshold is not None:  # what stood there is no valid member
        changed = state.add("ot", threshold)
    return changed.to_header() or None
