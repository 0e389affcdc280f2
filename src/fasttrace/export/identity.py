"""The headers under which spans are sent: checked when they are given, shown nowhere."""

from __future__ import annotations

import re

from fasttrace.errors import ConfigurationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

# What a name and a value may be: RFC 9110, section 5, and gRPC's PROTOCOL-HTTP2.md, "Custom-Metadata".
HTTP = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"), re.compile(r"[\t -~\x80-\xff]*")
GRPC = re.compile(r"(?!grpc-)[0-9a-z_.-]+"), re.compile(r"[ -~]*")
# Shorter words of a value are no secrets, and stand in many an error's text.
SECRET_CHARACTERS = 6


def fits(rule: tuple[re.Pattern[str], re.Pattern[str]], name: str, value: str) -> bool:
    """Whether a transport can carry a header."""
    return rule[0].fullmatch(name) is not None and rule[1].fullmatch(value) is not None


class Identity:
    """Headers that tell a receiver who sends.

    Raises ConfigurationError for one that the transport can't carry; the text shows its name, never its value.
    """

    def __init__(self, headers: Mapping[str, str], rule: tuple[re.Pattern[str], re.Pattern[str]]) -> None:
        for name, value in headers.items():
            if not fits(rule, name, value):
                raise ConfigurationError(
                    f"header {name!r}: use a name of letters, digits, - and _, and a value of one line of plain text"
                )
        self.headers: dict[str, str] = dict(headers)
        words = {word for value in headers.values() for word in (value, *value.split())}
        self._secrets = sorted((word for word in words if len(word) >= SECRET_CHARACTERS), key=len, reverse=True)

    @property
    def names(self) -> frozenset[str]:
        """The headers' names, without their values."""
        return frozenset(self.headers)

    def destination(self, endpoint: str) -> str:
        """Where the requests go and as whom: they are never sent under other headers."""
        return "\n".join([endpoint, *(f"{name}: {self.headers[name]}" for name in sorted(self.headers))])

    def redact(self, text: str) -> str:
        """A receiver's words without our headers' values: some receivers repeat them."""
        for secret in self._secrets:
            text = text.replace(secret, "…")
        return text


def refuse_credentials(endpoint: str) -> None:
    """ConfigurationError for ``user:password@`` in a URL: it would stand in log lines and reach nobody."""
    scheme, separator, rest = endpoint.partition("://")
    netloc = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if separator and "@" in netloc:
        shown = f"{scheme}://…{rest[netloc.rindex('@') :]}"
        raise ConfigurationError(f"endpoint={shown!r}: give credentials as a header, such as authorization, instead")
