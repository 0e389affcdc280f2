"""The service ``shop.Stock``: its methods, and how messages become bytes.

JSON in the place of protobuf, so that there is nothing to generate. Stubs and servicers that ``protoc`` writes are
traced just the same.
"""

import json
from typing import Any

import grpc

SERVICE = "shop.Stock"


def pack(message: Any) -> bytes:
    return json.dumps(message).encode()


class Stock:
    """The methods of a client."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.reserve = channel.unary_unary(f"/{SERVICE}/Reserve", pack, json.loads)
        self.watch = channel.unary_stream(f"/{SERVICE}/Watch", pack, json.loads)


def add_to_server(servicer: Any, server: grpc.Server) -> None:
    methods = {
        "Reserve": grpc.unary_unary_rpc_method_handler(servicer.reserve, json.loads, pack),
        "Watch": grpc.unary_stream_rpc_method_handler(servicer.watch, json.loads, pack),
    }
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, methods)])
