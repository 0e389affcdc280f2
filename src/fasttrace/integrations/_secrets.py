"""What of URLs and headers may be recorded: nothing that looks like a secret, unless its name was listed."""

from __future__ import annotations

import re
from functools import lru_cache
from string import ascii_lowercase, ascii_uppercase, digits
from urllib.parse import unquote

from fasttrace._core.exceptions import set_cleaner
from fasttrace.propagation.carrier import values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

__all__ = ["REDACTED", "allow", "capture", "captured", "clean_query", "clean_text", "clean_url"]

REDACTED = "REDACTED"
_OPEN, _SECRET, _ALLOWED = 0, 1, 2
# Names by their letters and digits alone: access_token, accessToken and access-token are one.
_SECRET_NAMES = {
    *("auth", "code", "codeverifier", "googleaccessid", "key", "nonce", "pin", "policy", "samlresponse", "sas"),
    *("sid", "ticket"),
}
# Words of a name, between its other characters.
_SECRET_WORDS = {"cred", "creds", "otp", "pass", "pw", "pwd", "sig"}
_SECRET_PARTS = (
    *("accesskey", "apikey", "assertion", "authkey", "authorization", "bearer", "clientkey", "cookie", "credential"),
    *("csrf", "encryptionkey", "hmac", "jwt", "keypairid", "passphrase", "passwd", "password", "privatekey"),
    *("secret", "sessid", "session", "sharedkey", "signature", "signingkey", "subscriptionkey", "token", "xsrf"),
)
_SECRET_PREFIXES = ("xamz", "xgoog")
_TOKEN_PREFIXES = (
    *("AIza", "AKIA", "ASIA", "eyJ", "gho_", "ghp_", "ghs_", "ghu_", "github_pat_", "glpat-", "pypi-", "sk-", "sk_"),
    *("xapp-", "xox", "ya29."),
)
_SHORTEST_TOKEN = 20
# The kinds of characters, by which what is random changes all the time: a lower case, A upper case, 0 digit.
_KINDS = {
    **dict.fromkeys(map(ord, ascii_lowercase), "a"),
    **dict.fromkeys(map(ord, ascii_uppercase), "A"),
    **dict.fromkeys(map(ord, digits), "0"),
    **dict.fromkeys(map(ord, "-_./+=~"), " "),
}
_CHANGES = ("a0", "0a", "A0", "0A", "aA")

_WORD = re.compile("[a-z0-9]+")
_allowed: frozenset[str] = frozenset()


def allow(names: Iterable[str]) -> None:
    """Record the values of these names in a query as they are, in this process."""
    global _allowed
    if isinstance(names, str):
        names = (names,)
    _allowed |= {_plain(name) for name in names}
    _verdict.cache_clear()


def clean_query(query: str) -> str:
    """A query, without its ``?``, with ``REDACTED`` for the values that are secret by name or look like tokens."""
    if "=" not in query:
        return REDACTED if _is_token(query) else query
    pairs = query.split("&")
    changed = False
    for index, pair in enumerate(pairs):
        cleaned = ";".join(map(_clean_pair, pair.split(";"))) if ";" in pair else _clean_pair(pair)
        if cleaned is not pair:
            pairs[index] = cleaned
            changed = True
    return "&".join(pairs) if changed else query


def clean_url(url: str) -> str:
    """A URL without user, password and fragment, its query as ``clean_query`` leaves it."""
    if "#" in url:
        url = url[: url.index("#")]
    base, mark, query = url.partition("?")
    if "@" in base:
        start = base.find("//") + 2
        if start > 1:
            end = base.find("/", start)
            authority = base[start:] if end < 0 else base[start:end]
            if "@" in authority:
                base = base[:start] + base[start + authority.rindex("@") + 1 :]
    return base + mark + clean_query(query) if query else base


# Within a text: the query of a URL, and the user and password of one.
_QUERY = re.compile(r"\?([^\s?'\"<>]+)")
_USER = re.compile(r"//[^\s/?#@'\"<>]+@")


def clean_text(text: str) -> str:
    """A text without the secrets of the URLs that stand in it, wherever: the message of an exception, a traceback."""
    if "?" in text:
        text = _QUERY.sub(lambda found: "?" + clean_query(found[1]), text)
    return _USER.sub("//", text) if "@" in text else text


# What an exception says of a URL is recorded by each span that it leaves, whoever has made it.
set_cleaner(clean_text)


def capture(names: Iterable[str], side: str) -> dict[str, str]:
    """What ``captured`` takes for listed headers of ``"request"`` or ``"response"``: their attributes by name."""
    if isinstance(names, str):
        names = (names,)
    return {name.lower(): f"http.{side}.header.{name.lower()}" for name in names}


def captured(headers: Any, names: Mapping[str, str]) -> dict[str, list[str]]:
    """The attributes of the listed headers (``capture``) that are there; ``headers`` is whatever ``extract`` takes."""
    found = {}
    for name, attribute in names.items():
        texts = values(headers, name)
        if texts:
            found[attribute] = texts
    return found


def _clean_pair(pair: str) -> str:
    key, equals, value = pair.partition("=")
    if not value:
        return pair
    verdict = _verdict(key)
    if verdict == _SECRET or (verdict == _OPEN and len(value) >= _SHORTEST_TOKEN and _is_token(value)):
        return key + equals + REDACTED
    return pair


@lru_cache(maxsize=1024)
def _verdict(key: str) -> int:
    name = _plain(key)
    if name in _allowed:
        return _ALLOWED
    secret = (
        name in _SECRET_NAMES
        or name.startswith(_SECRET_PREFIXES)
        or any(part in name for part in _SECRET_PARTS)
        or not _SECRET_WORDS.isdisjoint(_WORD.findall(unquote(key).lower()))
    )
    return _SECRET if secret else _OPEN


def _plain(key: str) -> str:
    return "".join(filter(str.isalnum, unquote(key).lower()))


def _is_token(value: str) -> bool:
    """Whether it is long and random, as tokens are, rather than words, numbers, times, paths or a UUID."""
    if "%" in value:
        value = unquote(value)
    length = len(value)
    if length < _SHORTEST_TOKEN:
        return False
    kinds = value.translate(_KINDS)
    if sum(map(kinds.count, "aA0 ")) != length:
        return False
    if value.startswith(_TOKEN_PREFIXES):
        return True
    if length == 36 and value[8] == value[13] == value[18] == value[23] == "-":
        return False
    return 4 * sum(map(kinds.count, _CHANGES)) >= length
