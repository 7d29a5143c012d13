"""F3: the rescuer and a finish meet over the same job, one of them with an old picture."""

import contextlib
import threading
from collections.abc import Iterator

import psycopg
import pytest

from tests.support.fault_app import hold
from tests.support.faults import Proxy
from tests.support.fleet import Fleet, Program
from tests.support.polling import wait_until
from tests.support.postgres import wait_for_lock_waiter
from tests.support.trial import Trial

pytestmark = [pytest.mark.e2e, pytest.mark.fault]


@contextlib.contextmanager
def history_closed(trial: Trial) -> Iterator[None]:
    """Keep everybody from writing outcomes: who ends an attempt stops half-way, rows locked."""
    (tables,) = trial.rows(
        "select array_agg(inhrelid::regclass::text) from pg_inherits"
        " where inhparent = 'taskforge.outcome'::regclass"
    )
    with psycopg.connect(trial.url) as connection:
        for table in tables[0]:
            connection.execute(f"lock table {table} in share mode".encode())
        yield
        connection.rollback()


@pytest.fixture
def unaware(trial: Trial, fleet: Fleet) -> Iterator[Program]:
    """A worker that runs one job, and whose lease is over without its knowing."""
    trial.send(hold, None, trial.gate)
    with Proxy.to(trial.url) as proxy:
        worker = fleet.worker(
            trial.url, lease_url=proxy.url(trial.url), lease_seconds=3600, concurrency=1
        )
        trial.wait_until_began(1)
        proxy.stall()
        trial.rows("update taskforge.worker set expires_at = now() - interval '1 second'")
        yield worker
        worker.kill()


def test_f03_a_rescuer_leaves_alone_what_is_being_finished(trial: Trial, unaware: Program) -> None:
    with history_closed(trial):
        trial.open_gate(1)
        wait_for_lock_waiter(trial.url)
        rescued: list[int] = []
        rescuer = threading.Thread(
            target=lambda: rescued.append(trial.value("select rescued from taskforge.rescue(100)"))
        )
        rescuer.start()
        rescuer.join(2)
    rescuer.join(30)
    assert rescued == [0], f"the rescuer took {rescued} that were being finished"
    trial.drain()
    trial.judge()


def test_f03_a_finish_loses_to_a_rescue_that_came_first(
    trial: Trial, fleet: Fleet, unaware: Program
) -> None:
    with history_closed(trial):
        rescuer = threading.Thread(
            target=lambda: trial.rows("select rescued from taskforge.rescue(100)")
        )
        rescuer.start()
        wait_for_lock_waiter(trial.url)
        trial.open_gate()
        wait_until(
            lambda: (
                trial.value(
                    "select count(*) from pg_stat_activity"
                    " where datname = current_database() and wait_event_type = 'Lock'"
                )
                == 2
            )
        )
    rescuer.join(30)
    wait_until(lambda: "stale 1" in unaware.said)
    fleet.worker(trial.url)
    trial.drain()
    trial.judge(duplicates_allowed=1)


def test_f03_a_picture_older_than_the_finish_rescues_nothing(
    trial: Trial, unaware: Program
) -> None:
    with psycopg.connect(trial.url) as old:
        old.execute("set transaction isolation level repeatable read")
        old.execute("select count(*) from taskforge.running")
        trial.open_gate(1)
        trial.drain()
        with pytest.raises(psycopg.errors.SerializationFailure):
            old.execute("select rescued from taskforge.rescue(100)")
        old.rollback()
    trial.judge()
