"""The application: guard, page, API, receiver."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, nullcontext, suppress

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.routing import Route

from fasttrace.local.server.assets import Assets
from fasttrace.local.server.guard import Guard
from fasttrace.local.server.live import Dated
from fasttrace.local.server.readers import Readers
from fasttrace.local.server.routes import Traces, api_routes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection

    from starlette.requests import Request
    from starlette.responses import Response

    from fasttrace.local.index import Index
    from fasttrace.local.server.readers import Progress
    from fasttrace.local.server.receiver import Receiver


def build(
    open_index: Callable[[], Index],
    *,
    receiver: Receiver | None = None,
    token: str | None = None,
    hosts: Collection[str] = (),
    tidy: Callable[[Index], None] | None = None,
    progress: Progress = nullcontext,
) -> Starlette:
    """The ASGI application over the index that ``open_index`` gives, in whatever thread it is called.

    ``tidy`` is called with an index now and then, to delete what is too old or too much; ``progress`` gives what is
    told how far the index is.
    """
    assets = Assets()
    readers = Readers(open_index, tidy, progress)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        following = asyncio.create_task(readers.follow())
        yield
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
        readers.close()

    app = Starlette(
        lifespan=lifespan,
        routes=[
            *api_routes(),
            Route("/v1/traces", receiver or _no_receiver),
            Route("/", assets.serve, methods=["GET"]),
            Route("/{path:path}", assets.serve, methods=["GET"]),
        ],
        middleware=[Middleware(Guard, token=token, hosts=hosts, csp=assets.csp), Middleware(Dated)],
    )
    app.state.readers = readers
    app.state.traces = Traces()
    app.state.receiver = receiver
    return app


async def _no_receiver(request: Request) -> Response:
    return JSONResponse({"code": 5, "message": "start `fasttrace serve --otlp 4318` to receive traces"}, 404)
