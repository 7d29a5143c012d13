from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack

import pytest

from taskforge_client import CurrentJob, TaskForge
from taskforge_client.errors import InvalidRequest, NotConfigured

pytestmark = pytest.mark.unit


async def test_a_resource_is_open_while_its_worker_runs() -> None:
    app = TaskForge()
    said: list[str] = []

    @app.resource
    def pool() -> Generator[int, None, None]:
        said.append("open")
        yield 7
        said.append("closed")

    @app.resource
    async def client() -> AsyncGenerator[str, None]:
        said.append("open too")
        yield "hello"
        said.append("closed too")

    with pytest.raises(NotConfigured, match="pool is open in a running worker only"):
        pool.get()
    async with AsyncExitStack() as stack:
        for resource in app.resources:
            await resource.open(stack)
        assert (pool.get(), client.get()) == (7, "hello")
    assert said == ["open", "open too", "closed too", "closed"]
    with pytest.raises(NotConfigured):
        client.get()


def test_resources_and_hooks_are_generators() -> None:
    app = TaskForge()

    @app.around
    def timed(job: CurrentJob) -> Generator[None, None, None]:
        del job
        yield

    assert app.arounds == [timed]
    with pytest.raises(InvalidRequest, match="generator"):
        app.resource(lambda: 1)  # type: ignore[arg-type, return-value]
    with pytest.raises(InvalidRequest, match="generator"):
        app.around(lambda _job: None)  # type: ignore[arg-type, return-value]
