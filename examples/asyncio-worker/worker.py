"""Four workers, a queue of pictures, and a trace for each of them."""

import asyncio
import contextlib
import logging
import random
from dataclasses import dataclass, field

import fasttrace
from fasttrace.sampling import tail

fasttrace.configure(
    service_name="thumbnails",
    # Of those that went well one in a hundred is enough; of the others every one is kept, whole.
    tail=[tail.error(), tail.latency(seconds=0.2), tail.baseline(0.01)],
)
fasttrace.instrument("logging")

logging.basicConfig(format="%(levelname)s %(message)s trace_id=%(trace_id)s", level=logging.WARNING)
log = logging.getLogger("thumbnails")
tracer = fasttrace.get_tracer("thumbnails")
chance = random.Random(7)


@dataclass
class Job:
    picture: int
    # Who has put the job here, as headers: a queue outside of the process takes them as well.
    headers: dict[str, str] = field(default_factory=dict)


@tracer.start_as_current_span("fetch")
async def fetch(picture: int) -> bytes:
    await asyncio.sleep(0.25 if picture % 100 == 0 else 0.001)
    return bytes(picture)


@tracer.start_as_current_span("resize")
def resize(data: bytes) -> bytes:
    if len(data) % 100 == 13:
        raise ValueError("not a picture")
    return data[:10]


@tracer.start_as_current_span("store")
async def store(data: bytes) -> None:
    for attempt in range(1, 4):
        try:
            if chance.random() < 0.02:
                raise ConnectionError("connection lost")
            return
        except ConnectionError as error:
            fasttrace.current_span().add_event("retry", {"attempt": attempt, "error.type": type(error).__name__})
            await asyncio.sleep(0.001)
    raise TimeoutError("the store is away")


async def thumbnail(job: Job) -> None:
    # A trace of its own, with a link to the one that it comes from: that is over long before the last job.
    origin = fasttrace.extract(job.headers)
    with tracer.start_as_current_span(
        "thumbnail",
        context=fasttrace.Context(),
        kind=fasttrace.SpanKind.CONSUMER,
        attributes={"picture": job.picture},
        links=[fasttrace.Link(origin)],
    ):
        try:
            data = await fetch(job.picture)
            small = await asyncio.to_thread(resize, data)  # what is current goes along into the thread
            await store(small)
        except Exception as error:
            log.warning("picture %s: %s", job.picture, error)
            raise  # the span is an error, and its trace is kept


async def work(queue: asyncio.Queue[Job]) -> None:
    while True:
        job = await queue.get()
        with contextlib.suppress(Exception):
            await thumbnail(job)
        queue.task_done()


async def main() -> None:
    queue: asyncio.Queue[Job] = asyncio.Queue()
    with tracer.start_as_current_span("import pictures", kind=fasttrace.SpanKind.PRODUCER):
        fasttrace.keep_trace()
        for picture in range(1, 301):
            queue.put_nowait(Job(picture, fasttrace.inject({})))
    workers = [asyncio.create_task(work(queue)) for _ in range(4)]
    await queue.join()
    for worker in workers:
        worker.cancel()
    await fasttrace.aflush()
    stats = fasttrace.stats()
    print(f"{stats['started']} spans, of which {stats['exported']} are kept: {stats['kept_traces']}")


if __name__ == "__main__":
    asyncio.run(main())
