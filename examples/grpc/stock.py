"""The service: knows what is in stock."""

import contextlib
import os
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc

import fasttrace
from schema import add_to_server

fasttrace.configure(service_name="stock")
fasttrace.instrument("grpc", capture_metadata=["x-customer"])

tracer = fasttrace.get_tracer("stock")


class Stock:
    def __init__(self) -> None:
        self.items = {"apple": 5, "pear": 1}

    def reserve(self, request: dict[str, Any], context: grpc.ServicerContext) -> dict[str, int]:
        item = request["item"]
        if item not in self.items:
            context.abort(grpc.StatusCode.NOT_FOUND, f"no {item} here")
        with tracer.start_as_current_span("take from the shelf", attributes={"item": item}) as span:
            self.items[item] -= 1
            if self.items[item] == 0:
                span.add_event("last one taken")
        return {"left": self.items[item]}

    def watch(self, request: dict[str, Any], context: grpc.ServicerContext) -> Iterator[dict[str, int]]:
        # One span for the whole stream, with one for each answer in it.
        for item in request["items"]:
            with tracer.start_as_current_span("count", attributes={"item": item}):
                left = self.items.get(item, 0)
            yield {"left": left}


def main() -> None:
    server = grpc.server(futures.ThreadPoolExecutor(8))
    add_to_server(Stock(), server)
    server.add_insecure_port(f"127.0.0.1:{os.environ.get('PORT', '50051')}")
    server.start()
    with contextlib.suppress(KeyboardInterrupt):
        server.wait_for_termination()
    server.stop(grace=1).wait()


if __name__ == "__main__":
    main()
