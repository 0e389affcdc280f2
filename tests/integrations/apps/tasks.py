"""The worker."""

from __future__ import annotations

import logging
import os

from celery import Celery, signals
from log_lines import log_to_stdout

import fasttrace

app = Celery("tasks", broker=os.environ["BROKER"], backend=os.environ["BROKER"], set_as_current=False)
app.conf.broker_connection_retry_on_startup = True
tracer = fasttrace.get_tracer("worker")


@signals.setup_logging.connect
def our_logging(**_: object) -> None:
    log_to_stdout()


@app.task(name="tasks.charge")
def charge(order: int) -> int:
    with tracer.start_as_current_span("charging"):
        logging.getLogger("worker").info("charge %s", order)
    return order
