"""``fasttrace serve``: the page, and with ``--otlp`` a receiver for services in any language."""

from __future__ import annotations

import argparse
import os
import secrets
import webbrowser
from contextlib import suppress

from fasttrace.cli.opening import print_json
from fasttrace.errors import ConfigurationError, MissingExtraError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket


def run(arguments: argparse.Namespace) -> int:
    """Serve until Ctrl-C. Raises MissingExtraError without the viewer extra, ServeError for a port that is taken."""
    try:
        from fasttrace.local.server.app import build
        from fasttrace.local.server.guard import is_loopback
        from fasttrace.local.server.receiver import Receiver
        from fasttrace.local.server.run import listen, serve
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("fasttrace"):
            raise
        raise MissingExtraError("fasttrace serve", "viewer") from error
    from fasttrace import config
    from fasttrace.cli.progress import progress
    from fasttrace.export import segments
    from fasttrace.export.spool import SpoolExporter
    from fasttrace.local.index import Index
    from fasttrace.local.store import Store

    token = arguments.token
    if token is not None and len(token) < 16:
        raise ConfigurationError("--token: use 16 characters or more")
    if not is_loopback(arguments.host):
        token = token or secrets.token_urlsafe(24)
    bounds = {
        name: getattr(arguments, name) if name in arguments else config.from_environment(f"spool_{name}", os.environ)
        for name in ("max_bytes", "max_age")
    }
    directory = Store(arguments.spool).directory
    with suppress(OSError):  # one that can't be made is shown as empty
        segments.make_directory(os.fspath(directory))
    sockets = [listen(arguments.host, arguments.port, "--port")]
    receiver = None
    if arguments.otlp is not None:
        sockets.append(listen(arguments.host, arguments.otlp, "--otlp"))
        receiver = Receiver(SpoolExporter(directory, **bounds))

    def tidy(index: Index) -> None:
        index.prune(**bounds)

    app = build(
        lambda: Index(arguments.spool),
        receiver=receiver,
        token=token,
        tidy=tidy,
        progress=lambda: progress("indexing", bytes_of=True),
    )
    address = _address(arguments.host, sockets[0])

    def announce() -> None:
        page = f"{address}/?token={token}" if token else f"{address}/"
        otlp = f"{_address(arguments.host, sockets[1])}/v1/traces" if receiver is not None else None
        if arguments.json:
            print_json({"page": page, "otlp": otlp, "token": token}, indent=None)
        else:
            print(f"fasttrace: {page}  (Ctrl-C ends it)", flush=True)
            if otlp is not None:
                key = f"  with the header Authorization: Bearer {token}" if token else ""
                print(f"fasttrace: OTLP/HTTP at {otlp}{key}", flush=True)
        if arguments.open:
            webbrowser.open(page)

    serve(app, sockets, announce)
    return 0


def _address(host: str, bound: socket.socket) -> str:
    port = bound.getsockname()[1]
    return f"http://[{host.strip('[]')}]:{port}" if ":" in host else f"http://{host}:{port}"
