"""The caller: reserves what is in a basket, and looks at what is left."""

import os

import grpc

import fasttrace
from schema import Stock

fasttrace.configure(
    service_name="shop",
    # traceparent for all who know it, and grpc-trace-bin for services that know nothing else.
    propagators=["tracecontext", "baggage", "binary"],
)
fasttrace.instrument("grpc")

tracer = fasttrace.get_tracer("shop")


def checkout(stock: Stock, items: list[str]) -> None:
    with tracer.start_as_current_span("checkout", attributes={"items": items}) as span:
        for item in items:
            try:
                left = stock.reserve({"item": item}, timeout=5, metadata=[("x-customer", "ada")])["left"]
                print(f"{item}: {left} left")
            except grpc.RpcError as error:
                span.add_event("not reserved", {"item": item, "because": error.details()})
                print(f"{item}: {error.details()}")
        print("left:", *(answer["left"] for answer in stock.watch({"items": items}, timeout=5)))


if __name__ == "__main__":
    with grpc.insecure_channel(f"127.0.0.1:{os.environ.get('PORT', '50051')}") as channel:
        checkout(Stock(channel), ["apple", "pear", "durian"])
