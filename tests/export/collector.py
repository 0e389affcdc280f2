"""A gRPC server on the loopback that takes spans, with the official classes, and misbehaves on request."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent import futures
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"
Act = Callable[["Collector", Any], ExportTraceServiceResponse]


class Collector:
    """Answers request n with ``script[n]``, and with the last entry from then on; ``port`` 0 is any that is free."""

    def __init__(self, port: int = 0, *, options: Sequence[tuple[str, Any]] = (), credentials: Any = None) -> None:
        self.script: list[Act] = [take]
        self.requests: list[ExportTraceServiceRequest] = []
        self.metadata: list[dict[str, str | bytes]] = []
        self.taken: list[ExportTraceServiceRequest] = []
        self.peers: list[str] = []
        self.stopping = threading.Event()
        handler = grpc.unary_unary_rpc_method_handler(
            self._export,
            request_deserializer=ExportTraceServiceRequest.FromString,
            response_serializer=ExportTraceServiceResponse.SerializeToString,
        )
        self.server = grpc.server(futures.ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0), *options])
        self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Export": handler}),))
        address = f"127.0.0.1:{port}"
        if credentials is None:
            self.port = self.server.add_insecure_port(address)
        else:
            self.port = self.server.add_secure_port(address, credentials)
        self.endpoint = f"http{'' if credentials is None else 's'}://127.0.0.1:{self.port}"
        self.server.start()

    def _export(self, request: ExportTraceServiceRequest, context: Any) -> ExportTraceServiceResponse:
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        self.peers.append(context.peer())
        response = self.script[min(len(self.requests), len(self.script)) - 1](self, context)
        self.taken.append(request)
        return response

    def spans(self) -> list[Any]:
        """Every span of the requests that were answered with OK."""
        return [
            span
            for request in self.taken
            for resource_spans in request.resource_spans
            for scope_spans in resource_spans.scope_spans
            for span in scope_spans.spans
        ]

    def stop(self) -> None:
        stopped = self.server.stop(0)
        self.stopping.set()
        stopped.wait()


def take(collector: Collector, context: Any) -> ExportTraceServiceResponse:
    return ExportTraceServiceResponse()


def hang(collector: Collector, context: Any) -> ExportTraceServiceResponse:
    """Never answer while the test runs."""
    collector.stopping.wait(60)
    raise RuntimeError("too late")


def fail(code: grpc.StatusCode, details: str = "", status: bytes | None = None) -> Act:
    def act(collector: Collector, context: Any) -> ExportTraceServiceResponse:
        if status is not None:
            context.set_trailing_metadata([("grpc-status-details-bin", status)])
        context.abort(code, details)
        raise AssertionError("abort raises")

    return act


def retry_info(code: grpc.StatusCode, seconds: float | None) -> bytes:
    """The details of a status that asks to be tried again; ``None`` for a RetryInfo without a delay."""
    info = RetryInfo()
    if seconds is not None:
        info.retry_delay.FromNanoseconds(int(seconds * 10**9))
    other, packed = AnyMessage(type_url="type.googleapis.com/google.rpc.Other", value=b"\0"), AnyMessage()
    packed.Pack(info)
    return Status(code=code.value[0], message="try later", details=[other, packed]).SerializeToString()


if __name__ == "__main__":  # a server to be killed in the middle of a request

    def hang_and_tell(collector: Collector, context: Any) -> ExportTraceServiceResponse:
        print("asked", flush=True)
        return hang(collector, context)

    server = Collector()
    server.script = [hang_and_tell]
    print(server.endpoint, flush=True)
    server.stopping.wait()
