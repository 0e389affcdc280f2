"""What the worker does: charges for orders, and sends receipts."""

import os

from celery import Celery, signals
from celery.utils.log import get_task_logger

import fasttrace

fasttrace.instrument("celery", "logging")  # who sends and who works, both

BROKER = os.environ.get("BROKER_URL", "redis://127.0.0.1:6379/0")
app = Celery("tasks", broker=BROKER, backend=BROKER)
app.conf.update(
    broker_connection_retry_on_startup=True,
    worker_task_log_format="%(levelname)s %(message)s trace_id=%(trace_id)s",
)
log = get_task_logger(__name__)
tracer = fasttrace.get_tracer(__name__)


@signals.worker_init.connect
def configure(**_: object) -> None:
    """In the worker alone; its children take it over."""
    fasttrace.configure(service_name="billing")


@app.task(bind=True, throws=(ValueError,), autoretry_for=(ConnectionError,), max_retries=3, default_retry_delay=0)
def charge(self, order: int, amount: int) -> int:
    with tracer.start_as_current_span("ask the bank", attributes={"amount": amount}):
        if order == 3 and self.request.retries == 0:
            raise ConnectionError("the bank hung up")
        if amount > 100:
            raise ValueError("more than the card allows")
    log.info("charged %s for order %s", amount, order)
    send_receipt.delay(order)
    return amount


@app.task
def send_receipt(order: int) -> None:
    fasttrace.current_span().add_event("receipt sent", {"order": order})
