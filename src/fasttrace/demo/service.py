"""One service of the shop as a process: ``python -m fasttrace.demo.service NAME --fd N --spool DIR``.

It ends, gracefully, on SIGTERM and when its standard input closes, which is how it notices that the
process that started it is gone.
"""

from __future__ import annotations

import argparse
import socket
import sys
import threading
from collections.abc import Callable, Sequence

import uvicorn
from starlette.applications import Starlette

import fasttrace
from fasttrace.demo import READY_PATH, SERVICES, inventory, shop
from fasttrace.demo.copying import CopyingExporter, receiver
from fasttrace.export import SpoolExporter
from fasttrace.integrations.asgi import TracingMiddleware

CREATE: dict[str, Callable[[dict[str, str]], Starlette]] = {
    "gateway": shop.gateway,
    "checkout": shop.checkout,
    "inventory": inventory.create_app,
    "payments": shop.payments,
    "shipping": shop.shipping,
}

# Short, so that a trace can be looked at as soon as its request is answered.
SCHEDULE_DELAY_SECONDS = 0.2


def main(argv: Sequence[str] | None = None) -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="fasttrace.demo.service")
    parser.add_argument("name", choices=SERVICES)
    parser.add_argument("--spool", required=True, help="directory of the spool")
    parser.add_argument("--fd", type=int, help="an inherited socket that listens already")
    parser.add_argument("--port", type=int, default=0, help="the port to listen on, without --fd")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=URL", help="where another service is")
    parser.add_argument("--endpoint", metavar="URL", help="an OTLP/HTTP receiver that gets the spans, too")
    arguments = parser.parse_args(argv)

    spool = SpoolExporter(arguments.spool)
    fasttrace.configure(
        service_name=arguments.name,
        exporter=spool if arguments.endpoint is None else CopyingExporter(spool, receiver(arguments.endpoint)),
        schedule_delay=SCHEDULE_DELAY_SECONDS,
    )
    peers = dict(peer.split("=", 1) for peer in arguments.peer)
    app = TracingMiddleware(CREATE[arguments.name](peers), skip={READY_PATH})
    listener = _inherited(arguments.fd) if arguments.fd is not None else _listen(arguments.port)
    config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="on", timeout_graceful_shutdown=3)
    server = uvicorn.Server(config)
    threading.Thread(target=_stop_at_end_of_input, args=(server,), daemon=True).start()
    server.run(sockets=[listener])


def _inherited(fd: int) -> socket.socket:
    return socket.socket(fileno=fd)


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    return listener


def _stop_at_end_of_input(server: uvicorn.Server) -> None:
    sys.stdin.buffer.read()
    server.should_exit = True


if __name__ == "__main__":
    main()
