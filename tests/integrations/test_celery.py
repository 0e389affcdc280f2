"""celery with a real worker in a thread: what is sent and what runs are spans of one trace."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from loopback import Spans, wait_for

import fasttrace
from fasttrace._core.types import SpanData, SpanKind, StatusCode

celery = pytest.importorskip("celery")
worker = pytest.importorskip("celery.contrib.testing.worker")
integration = pytest.importorskip("fasttrace.integrations.celery")

tracer = fasttrace.get_tracer("tests")


@pytest.fixture(autouse=True)
def instrumented() -> Iterator[None]:
    integration.instrument()
    yield
    integration.uninstrument()


def shop(name: str = "shop") -> Any:
    """An application with a broker and results in memory."""
    app = celery.Celery(name, broker="memory://", backend="cache+memory://", set_as_current=False)
    app.conf.update(task_serializer="json", broker_transport_options={"polling_interval": 0.01})

    @app.task(shared=False, name="shop.charge", bind=True, max_retries=1)
    def charge(self: Any, order: int) -> dict[str, Any]:
        with tracer.start_as_current_span("charging"):
            if order == 13 and self.request.retries == 0:
                raise self.retry(exc=ValueError("busy"), countdown=0)
            if order == 14:
                raise LookupError("no such order")
        return dict(self.request.headers or {}) if order == 15 else {"order": order}

    @app.task(shared=False, name="shop.ship")
    def ship(order: dict[str, Any]) -> str:
        return f"shipped {order['order']}"

    @app.task(shared=False, name="shop.ignored")
    def ignored() -> None:
        raise celery.exceptions.Ignore

    return app


@pytest.fixture(scope="module")
def app() -> Iterator[Any]:
    made = shop()
    # It would set the root logger's level and handlers for good.
    celery.signals.setup_logging.connect(_left_alone)
    with worker.start_worker(made, pool="solo", perform_ping_check=False, shutdown_timeout=20):
        yield made
        # The worker looks whether it should stop whenever something arrives, or after two seconds.
        wake = threading.Timer(0.1, made.tasks["shop.ship"].delay, ({"order": 0},))
        wake.start()
    wake.join()
    celery.signals.setup_logging.disconnect(_left_alone)
    made.close()


def _left_alone(**_: Any) -> None:
    """The logging of the process."""


def by_name(spans: list[SpanData], name: str) -> list[SpanData]:
    return [data for data in spans if data.name == name]


def test_a_task_runs_below_the_span_that_sent_it(app: Any, spans: Spans) -> None:
    with tracer.start_as_current_span("request"):
        result = app.tasks["shop.charge"].delay(7)
    assert result.get(timeout=20, interval=0.01) == {"order": 7}
    request, send, process, charging = wait_for(spans, 4)
    assert {data.trace_id for data in spans()} == {request.trace_id}
    assert (send.name, send.kind, send.parent_span_id) == ("send shop.charge", SpanKind.PRODUCER, request.span_id)
    assert (process.name, process.kind) == ("process shop.charge", SpanKind.CONSUMER)
    assert (process.parent_span_id, charging.parent_span_id) == (send.span_id, process.span_id)
    assert send.attributes == {
        "messaging.system": "celery",
        "messaging.operation.type": "send",
        "messaging.operation.name": "send",
        "messaging.destination.name": "celery",
        "messaging.message.id": result.id,
    }
    assert process.attributes == {
        "messaging.system": "celery",
        "messaging.operation.type": "process",
        "messaging.operation.name": "process",
        "messaging.destination.name": "celery",
        "messaging.message.id": result.id,
        "celery.state": "SUCCESS",
    }


def test_a_failure_is_an_error_in_the_worker_and_none_for_who_sent_it(app: Any, spans: Spans) -> None:
    result = app.tasks["shop.charge"].delay(14)
    with pytest.raises(LookupError, match="no such order"):
        result.get(timeout=20, interval=0.01)
    send, process, charging = wait_for(spans, 3)
    assert send.status.status_code is StatusCode.UNSET
    for failed in (process, charging):
        assert failed.status.status_code is StatusCode.ERROR
        assert failed.status.description == "LookupError: no such order"
        assert [event.name for event in failed.events] == ["exception"]
    assert process.attributes["error.type"] == "LookupError"
    assert process.attributes["celery.state"] == "FAILURE"


def test_a_retry_is_told_and_runs_in_the_same_trace(app: Any, spans: Spans) -> None:
    assert app.tasks["shop.charge"].delay(13).get(timeout=20, interval=0.01) == {"order": 13}
    found = wait_for(spans, 6)
    sent, resent = by_name(found, "send shop.charge")
    first, second = by_name(found, "process shop.charge")
    assert len({data.trace_id for data in found}) == 1
    assert second.parent_span_id == resent.span_id
    assert (first.attributes["celery.state"], second.attributes["celery.state"]) == ("RETRY", "SUCCESS")
    assert first.status.status_code is StatusCode.UNSET
    assert [(event.name, event.attributes) for event in first.events] == [("retry", {"error.type": "ValueError"})]
    assert second.attributes["celery.retries"] == 1
    assert first.parent_span_id == sent.span_id


def test_a_chain_is_one_trace(app: Any, spans: Spans) -> None:
    chain = app.tasks["shop.charge"].s(1) | app.tasks["shop.ship"].s()
    assert chain.delay().get(timeout=20, interval=0.01) == "shipped 1"
    found = wait_for(spans, 5)
    assert len({data.trace_id for data in found}) == 1
    (charge,), (send,) = by_name(found, "process shop.charge"), by_name(found, "send shop.ship")
    assert send.parent_span_id == charge.span_id


def test_a_task_that_is_ignored_ends_its_span_and_the_next_is_not_below_it(app: Any, spans: Spans) -> None:
    app.tasks["shop.ignored"].delay()
    app.tasks["shop.ship"].delay({"order": 2}).get(timeout=20, interval=0.01)
    found = wait_for(spans, 4)
    assert by_name(found, "process shop.ignored")[0].attributes["celery.state"] == "IGNORED"
    assert len({data.trace_id for data in found}) == 2


def test_the_applications_own_headers_arrive_and_a_broker_that_is_away_is_an_error(app: Any, spans: Spans) -> None:
    headers = app.tasks["shop.charge"].apply_async((15,), headers={"tenant": "a"}).get(timeout=20, interval=0.01)
    assert headers["tenant"] == "a"
    assert fasttrace.extract(headers).span_context.trace_id_hex == spans()[0].trace_id
    away = celery.Celery("away", broker="amqp://127.0.0.1:1//", set_as_current=False)
    away.conf.broker_transport_options = {"max_retries": 0, "interval_start": 0, "interval_step": 0}
    with pytest.raises(celery.exceptions.OperationalError):
        away.send_task("nothing", retry=False)
    failed = spans()[-1]
    assert (failed.name, failed.status.status_code) == ("send nothing", StatusCode.ERROR)
    away.close()


def test_what_runs_at_once_is_below_the_span_that_wants_it(spans: Spans) -> None:
    app = shop("eager")
    app.conf.task_always_eager = True
    with tracer.start_as_current_span("request"):
        assert app.tasks["shop.charge"].delay(1).get() == {"order": 1}
        assert app.tasks["shop.charge"].delay(14).failed()
        with pytest.raises(LookupError):
            app.tasks["shop.charge"].apply((14,), throw=True)
        with pytest.raises(ValueError, match="busy"):
            raise ValueError("busy")
    request, *found = spans()
    runs = by_name(found, "process shop.charge")
    assert not by_name(found, "send shop.charge")
    assert {data.parent_span_id for data in runs} == {request.span_id}
    codes = [data.status.status_code for data in runs]
    assert codes == [StatusCode.UNSET, StatusCode.ERROR, StatusCode.ERROR]
    assert [len(data.events) for data in runs] == [0, 1, 1]


def test_one_application_alone(spans: Spans) -> None:
    integration.uninstrument()
    one, other = shop("one"), shop("other")
    one.conf.task_default_queue = other.conf.task_default_queue = "where nobody listens"
    assert integration.instrument(one) is one
    integration.instrument(one)
    for app in (one, other):
        app.conf.task_always_eager = True
        app.tasks["shop.charge"].delay(1)
        app.conf.task_always_eager = False
        app.tasks["shop.charge"].delay(1)
    assert [data.name for data in spans()] == ["process shop.charge", "charging", "send shop.charge", "charging"]
    integration.instrument()
    one.tasks["shop.charge"].delay(1)
    assert len(spans()) == 5
    integration.uninstrument()
    integration.uninstrument(one)
    one.tasks["shop.charge"].delay(1)
    one.tasks["shop.charge"].apply((1,))
    assert [data.name for data in spans()[5:]] == ["charging"]
    assert "send_task" not in vars(one)
    assert not [receiver for receiver in celery.signals.task_prerun.receivers or () if "fasttrace" in repr(receiver)]


def test_an_application_sees_the_same_with_and_without(app: Any, spans: Spans) -> None:
    def program() -> list[Any]:
        seen: list[Any] = []
        charge = app.tasks["shop.charge"]
        results = [charge.delay(1), charge.delay(13), charge.delay(14), app.send_task("shop.ship", [{"order": 1}])]
        for result in results:
            deadline = time.monotonic() + 60
            while not result.ready() and time.monotonic() < deadline:
                time.sleep(0.005)
            seen.append((result.state, result.get(propagate=False).args if result.failed() else result.get()))
        seen.append([type(charge), charge.name, type(app).send_task.__name__])
        with pytest.raises(TypeError):
            app.send_task()
        seen.append(shop("other").send_task(17, queue="where nobody listens").state)
        return seen

    with_tracing = program()
    assert spans()
    integration.uninstrument()
    assert program() == with_tracing
