"""Places three orders: one is charged at once, one not at all, and one at the second try."""

from tasks import charge

import fasttrace

fasttrace.configure(service_name="shop")
tracer = fasttrace.get_tracer("shop")

for order, amount in ((1, 20), (2, 500), (3, 30)):
    with tracer.start_as_current_span("checkout", attributes={"order": order}):
        result = charge.delay(order, amount)
        try:
            print(f"order {order}: charged {result.get(timeout=30)}")
        except ValueError as error:
            print(f"order {order}: {error}")
