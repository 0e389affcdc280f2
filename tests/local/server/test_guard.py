"""Who is answered: this machine's own pages and programs, and those with the token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fasttrace.local.server.guard import host_of, is_loopback

TOKEN = "a-token-of-some-length"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST:80", "[::1]", "[::1]:4320", "localhost."])
def test_the_loopbacks_names_are_answered(server: Any, host: str) -> None:
    assert server.client.get("/api/traces", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1", "", "[::1", "a@b"]
)
def test_other_names_are_refused_so_that_rebinding_dns_reads_nothing(server: Any, host: str) -> None:
    for path in ("/", "/api/traces", "/js/main.js", "/v1/traces"):
        answer = server.client.get(path, headers={"host": host})
        assert answer.status_code in (400, 403)
        assert "127.0.0.1" in answer.text or answer.status_code == 400


def test_a_name_that_was_given_is_answered(start: Callable[..., Any]) -> None:
    server = start(hosts=("viewer.internal",))
    assert server.client.get("/api/traces", headers={"host": "viewer.internal:4320"}).status_code == 200


def test_scripts_of_other_sites_are_refused(server: Any) -> None:
    read = server.client.get("/api/traces", headers={"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"})
    assert read.status_code == 403
    for origin in ("http://evil.example", "null", "http://[::1"):
        write = server.client.post("/v1/traces", content=b"", headers={"origin": origin, "content-type": "application/x-protobuf"})  # fmt: skip
        assert write.status_code == 403
    followed = server.client.get("/", headers={"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"})
    assert followed.status_code == 200


def test_with_a_token_nothing_is_answered_without_it(start: Callable[..., Any]) -> None:
    server = start(token=TOKEN)
    for path in ("/", "/api/traces", "/api/live", "/js/main.js"):
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {TOKEN}"}, {"cookie": "fasttrace_token=wrong"}, {"cookie": '"='}):  # fmt: skip
            assert server.client.get(path, headers=headers).status_code == 401
    assert server.client.post("/v1/traces", content=b"").status_code == 401
    assert server.client.get("/?token=w%C3%B6rng").status_code == 401
    assert server.client.get("/api/traces", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert server.client.get("/api/traces", headers={"authorization": f"bearer {TOKEN}", "host": "box.internal"}).status_code == 200  # fmt: skip


def test_a_browser_that_comes_with_the_token_keeps_it_out_of_its_address(start: Callable[..., Any]) -> None:
    server = start(token=TOKEN)
    welcome = server.client.get(f"/?token={TOKEN}")
    assert (welcome.status_code, welcome.headers["location"]) == (303, "/")
    cookie = welcome.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie
    assert server.client.get("/api/traces").status_code == 200  # the client has kept the cookie


def test_every_answer_says_what_a_browser_may_do_with_it(server: Any) -> None:
    for path in ("/", "/js/main.js", "/api/traces", "/nothing", "/api/nothing"):
        headers = server.client.get(path).headers
        policy = headers["content-security-policy"]
        assert "unsafe" not in policy and "http" not in policy and "*" not in policy
        assert policy.startswith("default-src 'none'; script-src 'self' 'sha256-")
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers
    assert server.client.get("/api/traces").headers["cache-control"] == "no-store"


def test_hosts_are_read_as_browsers_mean_them() -> None:
    assert [host_of(text) for text in ("A.b:1", "[::1]:4", "::1", "x y", "u@h", "")] == [
        "a.b",
        "::1",
        "",
        "x y",
        "h",
        "",
    ]
    assert is_loopback("127.9.9.9") and is_loopback("::1") and not is_loopback("0.0.0.0") and not is_loopback("x")
