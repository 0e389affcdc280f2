"""An HTTP proxy on the loopback: takes CONNECT and absolute URIs, and knows every host by the address 127.0.0.1."""

from __future__ import annotations

import contextlib
import re
import socket
import threading


class Proxy:
    """``asked`` has the heads of all requests, ``sent_bytes`` counts what went to servers through tunnels."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.sent_bytes = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self._sockets: list[socket.socket] = [self.listener]
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def _start(self, target: object, *arguments: socket.socket) -> None:
        def work() -> None:
            with contextlib.suppress(OSError):
                target(*arguments)  # type: ignore[operator]

        self._threads.append(threading.Thread(target=work))
        self._threads[-1].start()

    def _accept(self) -> None:
        while True:
            client, _ = self.listener.accept()
            self._sockets.append(client)
            self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            data = client.recv(65536)
            if not data:
                return
            head += data
        self.asked.append(head.partition(b"\r\n\r\n")[0].decode("latin-1"))
        found = re.match(rb"(\S+) (?:http://)?[^\s/]+?:(\d+)", head)
        assert found is not None, head
        server = socket.create_connection(("127.0.0.1", int(found[2])))
        self._sockets.append(server)
        if found[1] == b"CONNECT":
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            server.sendall(head)
        self._start(self._pump, server, client)
        while data := client.recv(65536):
            self.sent_bytes += len(data)
            server.sendall(data)
        server.shutdown(socket.SHUT_WR)

    def _pump(self, server: socket.socket, client: socket.socket) -> None:
        while data := server.recv(65536):
            client.sendall(data)
        client.shutdown(socket.SHUT_WR)

    def stop(self) -> None:
        for item in list(self._sockets):
            with contextlib.suppress(OSError):
                item.shutdown(socket.SHUT_RDWR)
            item.close()
        for thread in list(self._threads):
            thread.join()
