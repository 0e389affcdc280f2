"""A real server in a thread, over a spool in a temporary folder."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="needs the viewer extra")
pytest.importorskip("uvicorn", reason="needs the viewer extra")

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2] / "browser")]

from viewer_server import Running  # noqa: E402


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    running: list[Running] = []

    def starter(**options: Any) -> Running:
        running.append(Running(tmp_path / "spool", **options))
        return running[-1]

    yield starter
    for server in running:
        server.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One for a module: nothing is written to it."""
    running = Running(tmp_path_factory.mktemp("server") / "spool")
    yield running
    running.close()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, dict[str, str]]]:
    """A server over eight traces, indexed, and their ids."""
    from viewer_seed import Shop, orders

    running = Running(tmp_path_factory.mktemp("shop") / "spool")
    writer = Shop(running.spool)
    ids = orders(writer)
    writer.close()
    running.wait_for(lambda: len(running.get("/api/traces")["traces"]) == 8)
    yield running, ids
    running.close()
