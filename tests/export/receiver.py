"""Runs oteltap, an OTLP/HTTP receiver from PyPI, on a port and prints a line for every span that arrives."""

from __future__ import annotations

import asyncio
import sys

from oteltap import OtelTapHttpProtobufReceiver, OtelTapHttpProtobufReceiverSettings


async def main(port: int) -> None:
    async with OtelTapHttpProtobufReceiver(OtelTapHttpProtobufReceiverSettings(http_port=port)) as receiver:
        print("ready", flush=True)
        async for span in receiver.stream_traces():
            print(span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex(), span.name, flush=True)


asyncio.run(main(int(sys.argv[1])))
