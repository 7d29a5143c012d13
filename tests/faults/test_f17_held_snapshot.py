"""F17: a transaction stays open and keeps everything that dies from being cleaned away."""

import json
from typing import Any

import psycopg
import pytest

from tests.support.fault_app import work
from tests.support.fleet import Fleet
from tests.support.polling import wait_until
from tests.support.trial import Trial

pytestmark = [pytest.mark.e2e, pytest.mark.fault]

_JOBS = 6000
_LEFT = 100
_CLAIM = """
    explain (analyze, buffers, timing off, format json)
    select * from taskforge.claim((select max(id) from taskforge.worker), 1, 1,
        (select array_agg(id) from taskforge.queue), %s, %s, %s)
"""
_REGISTER = "select taskforge.register_worker(1, gen_random_uuid(), 'h', 1, '{}', 1, '0', 3600)"


def pages_of_a_claim(connection: psycopg.Connection, floors: list[tuple[int, int, int]]) -> int:
    """Return how many pages a claim of one job reads, and undo it.

    Args:
        connection: In no transaction.
        floors: Queue, priority and floor of each lane; none for a sweep.
    """
    queues, priorities, ords = zip(*floors, strict=True) if floors else ((), (), ())
    values = [list(queues), list(priorities), list(ords)]
    pages = []
    for _ in range(2):  # the first call of a session reads the catalogue as well
        with connection.transaction(force_rollback=True):
            ((plan,),) = connection.execute(_CLAIM, values).fetchall()
            pages.append(pages_in(plan))
    return pages[-1]


def pages_in(plan: Any) -> int:
    """Return the pages of a plan's root, which counts those of all that it called."""
    (found,) = json.loads(plan) if isinstance(plan, str) else plan
    root = found["Plan"]
    return int(root["Shared Hit Blocks"] + root["Shared Read Blocks"])


def test_f17_a_claim_reads_no_more_behind_its_floor(trial: Trial, fleet: Fleet) -> None:
    """By pages, not by time: the same claim on a fresh table and behind thousands of dead rows."""
    floor = "select queue_id, priority::int, min(ord) from taskforge.ready group by 1, 2"
    with psycopg.connect(trial.url, autocommit=True) as connection:
        trial.rows(_REGISTER)
        trial.send_many(work, _LEFT)
        fresh = pages_of_a_claim(connection, [])
        with psycopg.connect(trial.url) as holder:
            holder.execute("set transaction isolation level repeatable read")
            holder.execute("select count(*) from taskforge.job")
            trial.send_many(work, _JOBS)
            worker = fleet.worker(trial.url, concurrency=100)
            trial.drain()
            assert worker.leave() == 0
            trial.rows(_REGISTER)
            trial.send_many(work, _LEFT)
            behind_floor = pages_of_a_claim(connection, trial.rows(floor))
            sweep = pages_of_a_claim(connection, [])
            holder.rollback()
    # The snapshot does its harm, or the test would prove nothing; and the floor keeps it off.
    assert sweep > 3 * fresh, (fresh, behind_floor, sweep)
    assert behind_floor <= 1.5 * fresh, (fresh, behind_floor, sweep)
    fleet.worker(trial.url)
    trial.drain()
    trial.judge()


def test_f17_work_goes_on_and_the_dead_rows_go_with_the_snapshot(
    trial: Trial, fleet: Fleet
) -> None:
    fleet.worker(trial.url, concurrency=100)
    with psycopg.connect(trial.url) as holder:
        holder.execute("set transaction isolation level repeatable read")
        holder.execute("select count(*) from taskforge.job")
        trial.send_many(work, _JOBS)
        trial.drain()
        trial.rows("vacuum taskforge.ready")
        held = trial.value("select pg_relation_size('taskforge.ready')")
        assert held > 0
        holder.rollback()
    wait_until(lambda: trial.rows("vacuum taskforge.ready") == [] and not _size(trial), 30)
    trial.judge()


def _size(trial: Trial) -> int:
    return int(trial.value("select pg_relation_size('taskforge.ready')"))
