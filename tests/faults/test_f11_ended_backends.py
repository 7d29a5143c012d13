"""F11: connections are ended by the server, again and again, in the middle of everything."""

import random
import threading

import psycopg
import pytest

from tests.support.fault_app import flaky, work
from tests.support.fleet import Fleet, engine_at_hand
from tests.support.polling import let_pass
from tests.support.trial import Trial

pytestmark = [pytest.mark.e2e, pytest.mark.fault]

_END_ALL = """
    select count(pg_terminate_backend(pid)) from pg_stat_activity
    where datname = current_database() and backend_type = 'client backend'
        and application_name like 'taskforge%' and pid <> pg_backend_pid()
"""


def storm(url: str, stop: threading.Event) -> int:
    """End all our connections every 50 to 300 ms until told to stop; return how many there were."""
    seeded = random.Random(11)  # noqa: S311 - a seed, no secret
    ended = 0
    with psycopg.connect(url, autocommit=True) as connection:
        while not stop.wait(seeded.uniform(0.05, 0.3)):
            row = connection.execute(_END_ALL).fetchone()
            assert row is not None
            ended += row[0]
    return ended


def test_f11_ended_connections_lose_nothing_and_do_nothing_twice(
    trial: Trial, fleet: Fleet
) -> None:
    stop = threading.Event()
    ended: list[int] = []
    breaker = threading.Thread(target=lambda: ended.append(storm(trial.url, stop)))
    trial.send_many(work, 200, 0.01)
    with engine_at_hand(trial.url):
        weathered = fleet.worker(trial.url, concurrency=16)
        breaker.start()
        try:
            for round_number in range(40):
                trial.send(work)
                trial.send(work, key=f"request {round_number}")
                trial.send(flaky)
                let_pass(0.02)
            trial.send_many(work, 1000)
        finally:
            stop.set()
            breaker.join(60)
        assert weathered.leave() == 0
        fleet.worker(trial.url, concurrency=32)
        trial.drain()
    assert ended[0] > 20
    assert len(trial.history.acknowledged) > 1300
    assert trial.value("select count(*) from taskforge.job") == len(trial.history.attempted)
    failed = trial.value("select count(*) from taskforge.outcome where detail ? 'error'")
    # Attempts that were lost and those that failed, as each of the flaky jobs did once.
    trial.judge(duplicates_allowed=failed)
