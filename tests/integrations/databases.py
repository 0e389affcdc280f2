"""Debian's PostgreSQL and Redis on free ports, one of each for all tests."""

from __future__ import annotations

import glob
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from receiving import free_port

POSTGRES_OPTIONS = {
    "fsync": "off",
    "autovacuum": "off",
    "max_connections": "30",
    "shared_buffers": "8MB",
    "max_wal_senders": "0",
    "wal_level": "minimal",
}


@contextmanager
def _running(command: list[str], ready: Callable[[], Any], stop: signal.Signals, **options: Any) -> Iterator[None]:
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **options)
        try:
            deadline = time.monotonic() + 60
            while not ready():
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    pytest.fail(f"{command[0]} did not start: {log.read().decode(errors='replace')}")
                time.sleep(0.02)
            yield
        finally:
            process.send_signal(stop)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture(scope="session")
def redis_port() -> Iterator[int]:
    """The port of a Redis without a disk."""
    redis = pytest.importorskip("redis")
    server = shutil.which("redis-server")
    if server is None:
        pytest.skip("no redis-server (apt install redis-server)")
    port = free_port()

    def ready() -> bool:
        try:
            with redis.Redis(port=port) as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False

    command = [server, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with _running(command, ready, signal.SIGTERM):
        yield port


@pytest.fixture(scope="session")
def postgres() -> Iterator[dict[str, Any]]:
    """How to connect to a PostgreSQL; it refuses root, and is the user postgres then."""
    psycopg = pytest.importorskip("psycopg")
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
    initdb = shutil.which("initdb") or (found[-1] if found else None)
    if initdb is None:
        pytest.skip("no PostgreSQL (apt install postgresql)")
    who: dict[str, Any] = {}
    if os.getuid() == 0:
        import pwd

        try:
            user = pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("PostgreSQL refuses root, and there is no user postgres")
        who = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    with tempfile.TemporaryDirectory(prefix="fasttrace-postgres-") as folder:
        if who:
            os.chown(folder, who["user"], who["group"])
        data = f"{folder}/data"
        made = subprocess.run(
            [initdb, "-D", data, "-U", "shop", "-A", "trust", "--no-sync", "-E", "UTF8", "--no-locale"],
            capture_output=True,
            text=True,
            cwd=folder,
            check=False,
            **who,
        )
        assert made.returncode == 0, made.stdout + made.stderr
        address = {"host": "127.0.0.1", "port": free_port(), "dbname": "postgres", "user": "shop"}

        def ready() -> bool:
            try:
                psycopg.connect(**address).close()
            except psycopg.OperationalError:
                return False
            return True

        command = [str(Path(initdb).with_name("postgres")), "-D", data, "-h", "127.0.0.1", "-k", folder]
        settings = [f"--{name}={value}" for name, value in POSTGRES_OPTIONS.items()]
        with _running([*command, "-p", str(address["port"]), *settings], ready, signal.SIGINT, cwd=folder, **who):
            yield address
