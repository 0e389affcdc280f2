"""The second service: plain WSGI, hands its work on by urllib3. ``fasttrace run`` traces both."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import urllib3

POOL = urllib3.PoolManager()


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    answer = POOL.request("POST", os.environ["NEXT_HOP"], body=b"order", retries=False)
    start_response(f"{answer.status} Answered", [("Content-Length", str(len(answer.data)))])
    return [answer.data]
