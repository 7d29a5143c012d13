"""F22: the database crashes and forgets a claim that it had confirmed; its number comes again."""

import secrets
import socket
from pathlib import Path

import psycopg
import pytest

from taskforge_client.wire.states import JobState
from taskforge_client.wire.workers import ClaimedJob, Fate, Finished, Registration
from taskforge_client.worker.postgres_source import PostgresSource
from tests.support.fault_app import work
from tests.support.postgres import PrivateServer
from tests.support.trial import new_trial

pytestmark = [pytest.mark.e2e, pytest.mark.fault, pytest.mark.anyio]

_TRIES = 10


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def registration() -> Registration:
    return Registration(
        incarnation=f"{secrets.token_hex(4)}-0000-4000-8000-{secrets.token_hex(6)}",
        host=socket.gethostname(),
        process_id=1,
        queues={"default": 1},
        concurrency=1,
        version="0",
    )


def succeeded(job: ClaimedJob) -> Finished:
    return Finished(job.number, job.attempt, job.token, JobState.SUCCEEDED, 0, None)


async def test_f22_the_same_attempt_claimed_twice_has_two_tokens(
    private_server: PrivateServer, tmp_path: Path
) -> None:
    trial = new_trial(private_server.url, tmp_path)
    with psycopg.connect(trial.url, autocommit=True) as connection:
        # Nothing but a crash decides when an asynchronous commit reaches the disk.
        connection.execute("alter system set wal_writer_delay = '10s'")
        connection.execute("select pg_reload_conf()")
    await trial.app.aenqueue_many([work.via(trial.app).bind(trial.ledger, 1)])
    source = PostgresSource(trial.url)
    forgetful = PostgresSource(f"{trial.url}?options=-csynchronous_commit%3Doff")
    try:
        first, second = await claim_and_forget(private_server, forgetful, source)
        assert (
            (second.number, second.attempt)
            == (first.number, first.attempt)
            == (
                first.number,
                1,
            )
        )
        assert second.token != first.token
        assert await source.finish([succeeded(first)]) == [Fate.LOST]
        assert trial.value("select count(*) from taskforge.running") == 1
        assert await source.finish([succeeded(second)]) == [Fate.MINE]
        assert await source.finish([succeeded(second)]) == [Fate.MINE]
    finally:
        await source.aclose()
        await forgetful.aclose()
        await trial.app.aclose()


async def claim_and_forget(
    server: PrivateServer, forgetful: PostgresSource, source: PostgresSource
) -> tuple[ClaimedJob, ClaimedJob]:
    """Claim with a commit that is not waited for, crash, and claim again.

    The system may write by itself in between; then the claim is given back and tried once more.
    """
    for _ in range(_TRIES):
        await forgetful.register(registration())
        (first,) = await forgetful.claim(1)
        server.restart()
        await source.register(registration())
        again = await source.claim(1)
        if again:
            return first, again[0]
        await source.release([first])
    raise AssertionError(f"the database remembered {_TRIES} claims")
