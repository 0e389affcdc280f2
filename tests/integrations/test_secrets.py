"""Secrets in URLs and headers are never recorded unless listed; what is none stays readable."""

from __future__ import annotations

import base64
import random
import secrets
import string
import subprocess
import sys
import uuid

import pytest
from loopback import Spans, shown

import fasttrace
from fasttrace.integrations import _secrets
from fasttrace.integrations._secrets import allow, capture, captured, clean_query, clean_text, clean_url

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"


@pytest.mark.parametrize(
    "name",
    [
        *("token", "access_token", "refreshToken", "id-token", "api_key", "apikey", "X-API-Key", "key", "password"),
        *("passwd", "pwd", "secret", "client_secret", "signature", "sig", "code", "session", "sessionid", "PHPSESSID"),
        *("jwt", "AWSAccessKeyId", "X-Amz-Signature", "X-Amz-Credential", "X-Amz-Security-Token", "X-Goog-Signature"),
        *("GoogleAccessId", "Authorization", "auth", "user%5Bpassword%5D", "%74oken", "csrf_token", "Key-Pair-Id"),
        *("db_pwd", "X-Sig", "code_verifier", "passphrase", "user.pass", "otp"),
    ],
)
def test_values_that_are_secret_by_name_are_redacted(name: str) -> None:
    assert clean_query(f"{name}=x") == f"{name}=REDACTED"
    assert clean_query(f"a=1&{name}=x&b=2") == f"a=1&{name}=REDACTED&b=2"
    assert clean_query(f"a=1;{name}=x;b=2") == f"a=1;{name}=REDACTED;b=2"
    assert clean_query(f"{name}=") == f"{name}="


@pytest.mark.parametrize(
    "query",
    [
        "",
        "flag",
        "page=2&sort=asc&q=tea+pot",
        "sort_key=name&primary_keyword=x&country_code=de&author=kafka&encode=1&monkey=1&compass=n&signal=3&passengers=2",
        "from=2026-11-24T10%3A00%3A00.123456Z&to=2026-11-25T10:00:00+01:00",
        f"id={uuid.UUID(int=0x12345678123456781234567812345678)}",
        "ids=1,2,3,4,5,6,7,8,9,10,11,12,13&n=12345678901234567890123456789012",
        "path=images/2026/summer/beach-1024x768.jpeg&file=quarterly_report_final_v2.pdf",
        "title=How-To-Fix-The-Python-3-Import-Error-For-Good",
        "field=createdAtTimestampInMilliseconds&include=lineItems.productVariant.selectedOptions",
        "q=the+quick+brown+fox+jumps+over+13+lazy+dogs",
        "mail=somebody.with.a.long.name42@example.org",
        "lat=52.520006&lon=13.404954&bbox=13.0883,52.3382,13.7611,52.6755",
        "a=1&&b=&=c&==",
    ],
)
def test_what_is_no_secret_stays_as_it_is(query: str) -> None:
    assert clean_query(query) is query


def test_values_that_look_like_tokens_are_redacted() -> None:
    for value in (JWT, "ghp_abcdefghijklmnopqrstuvwxyzabcdefghij", "AKIAIOSFODNN7EXAMPLE", "sk_live_abcdefghijklmnop"):
        assert clean_query(f"x={value}") == "x=REDACTED"
        assert clean_query(value) == "REDACTED"


def test_random_text_is_recognised_nearly_always() -> None:
    chance = random.Random(7)
    alphabet = string.ascii_letters + string.digits
    made = [
        *(chance.randbytes(16).hex() for _ in range(300)),
        *(base64.urlsafe_b64encode(chance.randbytes(24)).decode() for _ in range(300)),
        *(base64.b64encode(chance.randbytes(30)).decode().replace("+", "%2B").replace("/", "%2F") for _ in range(300)),
        *("".join(chance.choices(alphabet, k=32)) for _ in range(300)),
        *(secrets.token_urlsafe(32) for _ in range(3)),
    ]
    missed = [value for value in made if clean_query(f"x={value}") == f"x={value}"]
    assert len(missed) <= len(made) // 50, missed[:5]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://shop.test/items?page=2", "https://shop.test/items?page=2"),
        ("https://user:hunter2@shop.test:8443/a?token=1&x=2#part", "https://shop.test:8443/a?token=REDACTED&x=2"),
        ("https://user@shop.test", "https://shop.test"),
        ("https://us@er:p@ss@shop.test/", "https://shop.test/"),
        ("https://shop.test/@anna?to=b@c.de", "https://shop.test/@anna?to=b@c.de"),
        ("https://shop.test#access_token=1", "https://shop.test"),
        ("https://user:hunter2@shop.test?x=1", "https://shop.test?x=1"),
        ("//user:hunter2@shop.test/a", "//shop.test/a"),
        ("/a/b?sig=1", "/a/b?sig=REDACTED"),
        ("http://user:hunter2@[::1]:80/a?", "http://[::1]:80/a"),
        ("", ""),
    ],
)
def test_url_shows_no_password_no_secret_and_no_fragment(url: str, expected: str) -> None:
    assert clean_url(url) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("url: /a?x=1&token=abc (Caused by X)", "url: /a?x=1&token=REDACTED (Caused by X)"),
        (
            "'https://user:hunter2@shop.test/a?sig=z' and http://b/?a=1",
            "'https://shop.test/a?sig=REDACTED' and http://b/?a=1",
        ),
        ('text = "yes" if "?" in url else "?token=" + token', 'text = "yes" if "?" in url else "?token=" + token'),
        ("no URL at all? no@one", "no URL at all? no@one"),
    ],
)
def test_texts_show_no_secrets_of_the_urls_in_them(text: str, expected: str) -> None:
    assert clean_text(text) == expected


def test_an_exception_shows_them_on_no_span_that_it_leaves(spans: Spans) -> None:
    tracer = fasttrace.get_tracer("tests")

    def fail() -> None:
        try:
            raise ConnectionError("refused: http://shop.test/?api_key=s3cret")  # noqa: TRY301
        except ConnectionError as error:
            raise RuntimeError("https://me:s3cret@shop.test/ does not answer") from error

    with pytest.raises(RuntimeError, match="s3cret"):
        with tracer.start_as_current_span("outer"), tracer.start_as_current_span("inner"):
            fail()
    found = spans()
    assert [span.name for span in found] == ["outer", "inner"]
    assert "s3cret" not in shown(*found)
    assert "api_key=REDACTED" in found[1].events[0].attributes["exception.stacktrace"]
    assert found[0].status.description == "RuntimeError: https://shop.test/ does not answer"


def test_listed_names_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_secrets, "_allowed", frozenset())
    assert clean_query(f"page_token={JWT}") == "page_token=REDACTED"
    allow(["Page_Token"])
    try:
        assert clean_query(f"page_token={JWT}&token=1") == f"page_token={JWT}&token=REDACTED"
    finally:
        monkeypatch.undo()
        _secrets._verdict.cache_clear()


def test_only_listed_headers_are_captured() -> None:
    names = capture(["X-Request-Id", "set-cookie"], "response")
    expected = {"http.response.header.x-request-id": ["1"], "http.response.header.set-cookie": ["a=1", "b=2"]}
    pairs = [("x-request-id", "1"), ("Set-Cookie", "a=1"), ("authorization", "s3cret"), ("set-cookie", "b=2")]
    assert captured(pairs, names) == expected
    assert captured([(name.lower().encode(), value.encode()) for name, value in pairs], names) == expected
    assert captured({"X-Request-ID": "1", "authorization": "s3cret"}, names) == {
        "http.response.header.x-request-id": ["1"]
    }
    assert captured([], capture((), "request")) == {}


def test_an_exception_shows_none_in_a_process_that_traces_no_http() -> None:
    program = """
import sys, fasttrace
from fasttrace.export import MemoryExporter
exporter = MemoryExporter()
fasttrace.configure(exporter=exporter)
tracer = fasttrace.get_tracer("tests")
def fail(text):
    try:
        with tracer.start_as_current_span("a"):
            raise ValueError(text)
    except ValueError:
        pass
fail("no URL")
assert "fasttrace.integrations._secrets" not in sys.modules, "loaded for nothing"
fail("http://me:s3cret@shop.test/?token=s3cret refused")
fasttrace.shutdown()
first, second = exporter.spans
assert first.status.description == "ValueError: no URL", first.status
assert second.status.description == "ValueError: http://shop.test/?token=REDACTED refused", second.status
assert "s3cret" not in second.events[0].attributes["exception.stacktrace"]
"""
    subprocess.run([sys.executable, "-c", program], check=True)
