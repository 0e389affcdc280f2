"""One way to call every HTTP client that is traced: ``caller.get(url)`` gives status, body and headers."""

from __future__ import annotations

import asyncio
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import urllib3

from fasttrace.integrations import http_client as traced_http_client
from fasttrace.integrations import httpx as traced_httpx
from fasttrace.integrations import urllib3 as traced_urllib3

Answer = tuple[int, str, list[tuple[str, str]]]


class Caller:
    """A client, its integration, and what it raises."""

    name = ""
    follows = True
    # The types of error of a timeout and of a refused connection, on the span.
    timeout_type = ""
    refused_type = ""

    def __init__(self) -> None:
        self.module: Any = None

    def get(self, url: str, *, method: str = "GET", timeout: float = 30, **headers: str) -> Answer:
        raise NotImplementedError

    @contextmanager
    def traced(self, **options: Any) -> Iterator[None]:
        self.module.instrument(**options)
        try:
            yield
        finally:
            self.module.uninstrument()


class Httpx(Caller):
    name = "httpx"
    timeout_type, refused_type = "httpx.ReadTimeout", "httpx.ConnectError"
    # Reading the authorities' certificates takes longer than a request.
    options: Any = {"follow_redirects": True, "verify": False, "trust_env": False}

    def __init__(self) -> None:
        self.module = traced_httpx

    def get(self, url: str, *, method: str = "GET", timeout: float = 30, **headers: str) -> Answer:
        with httpx.Client(**self.options, timeout=httpx.Timeout(30, read=timeout)) as client:
            response = client.request(method, url, headers=headers)
        return response.status_code, response.text, response.headers.multi_items()


class AsyncHttpx(Httpx):
    name = "httpx-async"

    def get(self, url: str, *, method: str = "GET", timeout: float = 30, **headers: str) -> Answer:
        async def call() -> Answer:
            async with httpx.AsyncClient(**self.options, timeout=httpx.Timeout(30, read=timeout)) as client:
                response = await client.request(method, url, headers=headers)
            return response.status_code, response.text, response.headers.multi_items()

        return asyncio.run(call())


class Requests(Caller):
    name = "requests"
    timeout_type, refused_type = "requests.exceptions.ReadTimeout", "requests.exceptions.ConnectionError"

    def __init__(self) -> None:
        self.library = pytest.importorskip("requests")
        from fasttrace.integrations import requests

        self.module = requests

    def get(self, url: str, *, method: str = "GET", timeout: float = 30, **headers: str) -> Answer:
        with self.library.Session() as session:
            session.trust_env = False
            response = session.request(method, url, headers=headers, timeout=(30, timeout))
        return response.status_code, response.text, list(response.raw.headers.items())


class Urllib3(Caller):
    name = "urllib3"
    timeout_type, refused_type = "urllib3.exceptions.ReadTimeoutError", "urllib3.exceptions.NewConnectionError"

    def __init__(self) -> None:
        self.module = traced_urllib3

    def get(self, url: str, *, method: str = "GET", timeout: float = 30, **headers: str) -> Answer:
        retries = urllib3.Retry(connect=False, read=False, redirect=5)
        with urllib3.PoolManager(retries=retries, timeout=urllib3.Timeout(30, read=timeout)) as pool:
            response = pool.request(method, url, headers=headers)
        return response.status, response.data.decode(), list(response.headers.items())


class Aiohttp(Caller):
    name = "aiohttp"
    timeout_type = "aiohttp.client_exceptions.SocketTimeoutError"
    refused_type = "aiohttp.client_exceptions.ClientConnectorError"

    def __init__(self) -> None:
        self.library = pytest.importorskip("aiohttp")
        from fasttrace.integrations import aiohttp

        self.module = aiohttp

    def get(self, url: str, *, method: str = "GET", timeout: float = 30, **headers: str) -> Answer:
        async def call() -> Answer:
            options = self.library.ClientTimeout(total=30, sock_read=timeout)
            async with self.library.ClientSession(timeout=options) as session:
                async with session.request(method, url, headers=headers) as response:
                    return response.status, await response.text(), list(response.headers.items())

        return asyncio.run(call())


class UrllibRequest(Caller):
    name = "urllib.request"
    timeout_type, refused_type = "TimeoutError", "urllib.error.URLError"

    def __init__(self) -> None:
        self.module = traced_http_client

    def get(self, url: str, *, method: str = "GET", timeout: float = 30, **headers: str) -> Answer:
        request = urllib.request.Request(url, headers=headers, method=method)
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
                request, timeout=timeout
            ) as response:
                return response.status, response.read().decode(), response.getheaders()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode(), list(error.headers.items())


class HttpClient(Caller):
    name = "http.client"
    follows = False
    timeout_type, refused_type = "TimeoutError", "ConnectionRefusedError"

    def __init__(self) -> None:
        self.module = traced_http_client

    def get(self, url: str, *, method: str = "GET", timeout: float = 30, **headers: str) -> Answer:
        import http.client

        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
        try:
            connection.request(method, parts.path + ("?" + parts.query if parts.query else ""), headers=headers)
            response = connection.getresponse()
            return response.status, response.read().decode(), response.getheaders()
        finally:
            connection.close()


CALLERS = [Httpx, AsyncHttpx, Requests, Urllib3, Aiohttp, UrllibRequest, HttpClient]


@contextmanager
def closed_port() -> Iterator[int]:
    """A port that is bound, and nobody listens to."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]
