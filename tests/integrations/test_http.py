"""Hosts, methods and error types as the semantic conventions want them."""

from __future__ import annotations

import pytest

from fasttrace.integrations._http import error_type, known_method, split_host


@pytest.mark.parametrize(
    ("host", "scheme", "expected"),
    [
        (b"shop.test", "http", ("shop.test", 80)),
        (b"shop.test", "https", ("shop.test", 443)),
        (b"shop.test:8080", "http", ("shop.test", 8080)),
        (b"[::1]", "http", ("::1", 80)),
        (b"[::1]:8000", "http", ("::1", 8000)),
        (b"shop.test:", "http", ("shop.test", 80)),
        (b"shop.test:\xb2", "http", ("shop.test", 80)),
        (b"shop.test", "gopher", ("shop.test", None)),
        (b"\xff\xfe", "http", ("\xff\xfe", 80)),
        (b"", "http", ("", 80)),
    ],
)
def test_host_header_is_split(host: bytes, scheme: str, expected: tuple[str, int | None]) -> None:
    assert split_host(host, scheme) == expected


def test_methods_outside_the_standard_are_one() -> None:
    assert [known_method(method) for method in ("GET", "PATCH", "get", "BREW")] == ["GET", "PATCH", "", ""]


def test_error_type_is_the_class_with_its_module() -> None:
    class Odd(Exception):
        pass

    assert error_type(ValueError()) == "ValueError"
    assert error_type(Odd()).endswith(".Odd")
    assert "test_http" in error_type(Odd())
