"""The binary header of OpenCensus and gRPC (``grpc-trace-bin``): 29 bytes."""

from __future__ import annotations

from fasttrace._core import headers

encode = headers.encode_binary
decode = headers.decode_binary

__all__ = ["decode", "encode"]
