"""An application that uses the library, and wants to see what it does."""

import asyncio
import sys

import fasttrace
from parcel import quote

if "--trace" in sys.argv:
    fasttrace.configure(service_name="post-office")

tracer = fasttrace.get_tracer("post_office")


async def main() -> None:
    for weight in (1.5, 10.0, 40.0):
        try:
            with tracer.start_as_current_span("customer"):
                print(f"{weight} kg: {await quote(weight)}")
        except ValueError as error:
            print(f"{weight} kg: {error}")


asyncio.run(main())
