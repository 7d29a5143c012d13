"""The HTTP application: routes, health, and the one place where errors become answers."""

from collections.abc import Awaitable, Callable
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from taskforge_client.errors import TaskForgeError
from taskforge_client.wire.problems import MalformedValue
from taskforge_server._version import __version__
from taskforge_server.rest.auth import Doorkeeper
from taskforge_server.rest.jobs import job_routes
from taskforge_server.rest.problems import answer_error

METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
ReadyCheck = Callable[[], Awaitable[str | None]]


def create_app(
    doorkeeper: Doorkeeper, *, ready: ReadyCheck, metrics: Callable[[], bytes]
) -> Starlette:
    """Return the application.

    Args:
        doorkeeper: Tells on whose behalf a request is made.
        ready: Returns why this node can't serve now, None when it can.
        metrics: Returns the metrics in Prometheus' text form.
    """

    async def readyz(_request: Request) -> Response:
        why = await ready()
        return PlainTextResponse(why or "ready", 503 if why else 200)

    async def show_metrics(_request: Request) -> Response:
        return Response(metrics(), media_type=METRICS_TYPE)

    return Starlette(
        routes=[
            Route("/", _root, methods=["GET"]),
            Route("/healthz", _healthz, methods=["GET"]),
            Route("/readyz", readyz, methods=["GET"]),
            Route("/metrics", show_metrics, methods=["GET"]),
            *job_routes(doorkeeper),
        ],
        exception_handlers={
            HTTPException: answer_error,
            TaskForgeError: answer_error,
            MalformedValue: answer_error,
            Exception: answer_error,
        },
    )


async def _healthz(_request: Request) -> Response:
    return PlainTextResponse("alive")


async def _root(_request: Request) -> Response:
    return PlainTextResponse(
        f"TaskForge {__version__}\n\n"
        "POST /v1/jobs             send a job\n"
        "GET  /v1/jobs             list jobs\n"
        "GET  /v1/jobs/ID?wait=30  one job, waiting until it is final\n"
        "GET  /readyz  /metrics    for the operator\n"
    )
