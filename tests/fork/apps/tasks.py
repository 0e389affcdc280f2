"""A celery application whose broker is a folder."""

from __future__ import annotations

import os

import traced
from celery import Celery

folder = os.environ["BROKER"]
app = Celery("tasks", broker="filesystem://", backend=f"file://{folder}/results")
app.conf.broker_transport_options = {
    "data_folder_in": f"{folder}/queue",
    "data_folder_out": f"{folder}/queue",
    "control_folder": f"{folder}/control",
}
app.conf.worker_hijack_root_logger = False
app.conf.broker_connection_retry_on_startup = True


@app.task
def traced_task() -> str:
    """One span and its child."""
    return traced.work("task")
