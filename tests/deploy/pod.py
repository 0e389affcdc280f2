"""A pod of the runbook's shop: checkout, which waits for inventory, and keeps nothing until it is told to."""

from __future__ import annotations

import time

import fasttrace
from fasttrace.sampling import tail


def main() -> None:
    """Serve requests until killed; says so once some of them can be recalled."""
    settings = {"sampler": 0.0, "tail": [tail.error()], "exporter": "spool", "schedule_delay": 0.05}
    checkout = fasttrace.configure(service_name="checkout", **settings).get_tracer("shop")
    inventory = fasttrace.TracerProvider(service_name="inventory", **settings).get_tracer("shop")
    number = 0
    while True:
        with checkout.start_as_current_span("POST /orders", kind=fasttrace.SpanKind.SERVER) as span:
            span.set_attribute("order.number", number)
            with checkout.start_as_current_span("POST", kind=fasttrace.SpanKind.CLIENT):
                carrier = fasttrace.inject({})
                parent = fasttrace.extract(carrier)
                with inventory.start_as_current_span("POST /reserve", kind=fasttrace.SpanKind.SERVER, context=parent):
                    time.sleep(0.02)
        number += 1
        if number > 20 and fasttrace.stats()["held"] > 20:
            print("ready", flush=True)
            number = -(10**9)  # said once


if __name__ == "__main__":
    main()
