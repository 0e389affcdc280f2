"""Real servers under ``fasttrace run``: their workers and reloaders are traced, and end as they always do."""

from __future__ import annotations

import os
import signal
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from receiving import free_port
from running import Runner

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="once is enough: on 3.11"),
]
FASTAPI = """
import os
from fastapi import FastAPI
app = FastAPI()

@app.get("/orders/{number}")
async def order(number: int):
    return os.getpid()
"""
FLASK = """
import os
from flask import Flask
app = Flask("shop")

@app.get("/orders/<int:number>")
def order(number):
    return f"{os.getpid()} before"
"""


def get(port: int) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}/orders/7", timeout=20) as answer:
        text: str = answer.read().decode()
        return text


def until(what: Callable[[], bool]) -> None:
    """Wait until something is so; a server that is not there yet counts as no."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if what():
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise AssertionError("it did not come to pass")


@contextmanager
def serving(runner: Runner, *command: str, ending: int = signal.SIGTERM) -> Iterator[list[str]]:
    """A server, ended by SIGTERM as supervisors do; its lines, once it has ended."""
    lines: list[str] = []
    log = runner.folder / "log"
    with log.open("w") as file:
        process = runner.start(*command, stdin=None, stdout=file, stderr=file, start_new_session=True)
    try:
        yield lines
        process.send_signal(ending)
        process.wait(60)
        lines += log.read_text().splitlines()
    except BaseException:
        print(log.read_text()[-5000:])
        raise
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()


def traced_by(runner: Runner, name: str, count: int) -> set[int]:
    """The processes whose requests are in the spool; there are as many spans as there were requests."""
    found = [span for span in runner.spans(count) if span.name == name]
    assert len(found) == count, [span.name for span in runner.spans()]
    assert all(span.resource["service.name"] == "shop" for span in found)
    return {span.resource["process.pid"] for span in found}


def ours(lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith("fasttrace: ")]


def test_both_workers_of_uvicorn_are_traced(runner: Runner) -> None:
    runner.write("app.py", FASTAPI)
    port = free_port()
    answers: list[str] = []
    command = ("uvicorn", "app:app", "--workers", "2", "--port", str(port))
    with serving(runner, "--service", "shop", "--", *command) as lines:
        until(lambda: not answers.append(get(port)) and len(set(answers)) == 2)
    assert {str(pid) for pid in traced_by(runner, "GET /orders/{number}", len(answers))} == set(answers)
    assert len(ours(lines)) == 1


def test_both_workers_of_gunicorn_are_traced(runner: Runner) -> None:
    runner.write("app.py", FLASK)
    port = free_port()
    answers: list[str] = []
    command = ("gunicorn", "app:app", "--workers", "2", "--bind", f"127.0.0.1:{port}", "--preload")
    with serving(runner, "--service", "shop", "--", *command) as lines:
        until(lambda: not answers.append(get(port).split()[0]) and len(set(answers)) == 2)
    assert {str(pid) for pid in traced_by(runner, "GET /orders/<int:number>", len(answers))} == set(answers)
    assert len(ours(lines)) == 1


def test_flasks_reloaded_child_is_traced_as_the_first_one_was(runner: Runner) -> None:
    runner.write("app.py", FLASK)
    port = free_port()
    answers: list[str] = []
    command = ("flask", "--app", "app", "run", "--reload", "--port", str(port))
    with serving(runner, "--service", "shop", "--", *command) as lines:
        until(lambda: not answers.append(get(port)))
        runner.write("app.py", FLASK.replace("before", "after"))
        # Not a request until then: who leaves does not see its own last one end.
        until(lambda: (runner.folder / "log").read_text().count("Restarting with") == 2)
        until(lambda: not answers.append(get(port)) and answers[-1].endswith("after"))
        traced = traced_by(runner, "GET /orders/<int:number>", len(answers))
    assert {str(pid) for pid in traced} == {answer.split()[0] for answer in answers}
    assert len(traced) == 2
    assert len(ours(lines)) == 1


CELERY = """
from celery import Celery
app = Celery("shop", broker="filesystem://")
app.conf.broker_transport_options = {"data_folder_in": "queue", "data_folder_out": "queue", "control_folder": "control"}
app.conf.broker_connection_retry_on_startup = True

@app.task(ignore_result=True)
def charge():
    pass
"""


def test_celery_sends_and_works_in_one_trace(runner: Runner) -> None:
    runner.write("shop.py", CELERY)
    (runner.folder / "queue").mkdir()
    (runner.folder / "control").mkdir()
    command = ("celery", "-A", "shop", "worker", "--concurrency", "1", "--loglevel", "warning")
    with serving(runner, "--service", "shop", "--", *command, ending=signal.SIGKILL) as lines:
        sent = runner.run("--quiet", "--service", "web", "python", "-c", "import shop; shop.charge.delay()")
        assert (sent.returncode, sent.stderr) == (0, "")
        spans = {span.name: span for span in runner.spans(2)}
    assert set(spans) == {"send shop.charge", "process shop.charge"}
    assert [span.resource["service.name"] for span in spans.values()].count("web") == 1
    assert len({span.trace_id for span in spans.values()}) == 1
    assert len(ours(lines)) == 1
