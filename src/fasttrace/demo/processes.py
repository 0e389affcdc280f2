"""The five processes: started together, watched, and always stopped."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, Self

from fasttrace.demo import SERVICES
from fasttrace.errors import FasttraceError

PEERS: dict[str, tuple[str, ...]] = {"gateway": ("checkout",), "checkout": ("inventory", "payments", "shipping")}
STOP_SECONDS = 6.0


class DemoError(FasttraceError):
    """The demo can't go on; the text is one line that says what to do."""


class Shop:
    """The running services. ``ports`` has the port of each; use as a context manager.

    ``port`` is the gateway's, 0 for any free one; the others always take free ones. ``endpoint`` is the base URL of an
    OTLP/HTTP receiver that gets the spans, too. Raises DemoError when the port is taken.
    """

    def __init__(self, spool: Path, port: int = 0, endpoint: str | None = None) -> None:
        self.spool = spool
        self.endpoint = endpoint
        self.ports: dict[str, int] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._errors: dict[str, IO[bytes]] = {}
        self._listeners: dict[str, socket.socket] = {}
        try:
            for name in SERVICES:
                self._listeners[name] = _listen(port if name == "gateway" else 0)
                self.ports[name] = self._listeners[name].getsockname()[1]
        except BaseException:
            self._close_listeners()
            raise

    def url(self, name: str) -> str:
        """Where a service listens."""
        return f"http://127.0.0.1:{self.ports[name]}"

    def __enter__(self) -> Self:
        try:
            for name in SERVICES:
                self._start(name)
        except BaseException:
            self.stop()
            raise
        finally:
            self._close_listeners()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def _start(self, name: str) -> None:
        command = [sys.executable, "-P", "-m", "fasttrace.demo.service", name, "--spool", str(self.spool)]
        for peer in PEERS.get(name, ()):
            command += ["--peer", f"{peer}={self.url(peer)}"]
        if self.endpoint is not None:
            command += ["--endpoint", self.endpoint]
        inherited: tuple[int, ...] = ()
        if os.name == "posix":
            # The parent's listening socket: no other program can take the port in between.
            inherited = (self._listeners[name].fileno(),)
            command += ["--fd", str(inherited[0])]
        else:
            self._listeners[name].close()
            command += ["--port", str(self.ports[name])]
        self._errors[name] = tempfile.TemporaryFile()  # noqa: SIM115 - open while its service runs
        self.processes[name] = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._errors[name],
            pass_fds=inherited,
            env=_environment(self.endpoint is not None),
            # Ctrl-C in the terminal is for this process, which then stops the services.
            start_new_session=True,
        )

    def check(self) -> None:
        """Raise DemoError if a service has ended by itself."""
        for name, process in self.processes.items():
            code = process.poll()
            if code is not None:
                raise DemoError(f"the {name} service ended with code {code}: {self._last_words(name)}")

    def _last_words(self, name: str) -> str:
        errors = self._errors[name]
        errors.seek(0)
        lines = errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    def stop(self) -> None:
        """End the services: asked first, then told; none is left behind."""
        for process in self.processes.values():
            if process.stdin is not None:
                process.stdin.close()
        deadline = time.monotonic() + STOP_SECONDS
        for process in self.processes.values():
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for errors in self._errors.values():
            errors.close()
        self._errors.clear()

    def _close_listeners(self) -> None:
        for listener in self._listeners.values():
            listener.close()


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise DemoError(
                f"port {port} is in use: choose another with --port, or leave it out for a free one"
            ) from None
        if error.errno == errno.EACCES:
            raise DemoError(f"port {port} may not be used: choose one above 1023 with --port") from None
        raise
    return listener


def _environment(sending: bool) -> dict[str, str]:
    """The user's environment without tracing settings, but for how to send: the demo is the same for everyone."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("OTEL_", "FASTTRACE_")) or (sending and key.startswith("OTEL_EXPORTER_OTLP_"))
    }
    if "FASTTRACE_IMPL" in os.environ:
        kept["FASTTRACE_IMPL"] = os.environ["FASTTRACE_IMPL"]
    return kept
