"""Plans that statistics can't spoil: through the index, whatever the planner believed.

The trap is a table that was analysed while it was empty and filled afterwards: a plan made then
reads everything.
"""

from __future__ import annotations

import pytest

from tests.support.postgres import Database
from tests.support.protocol import Protocol
from tests.support.twins import break_function

pytestmark = pytest.mark.storage

BACKLOG = 30_000
PINS = (
    "SET enable_seqscan TO 'off'",
    "SET enable_bitmapscan TO 'off'",
    "SET enable_sort TO 'off'",
    "SET enable_hashjoin TO 'off'",
    "SET enable_mergejoin TO 'off'",
    "SET plan_cache_mode TO 'force_generic_plan'",
)
SEQUENTIAL = """select relname, seq_scan from pg_stat_xact_user_tables
    where schemaname = 'taskforge' and seq_scan > 0 and relname ~
        '^(ready|running|scheduled|blocked|edge|job_[0-9]+|outcome_[0-9]+)$'"""


def analysed_while_empty(protocol: Protocol) -> None:
    for table in ("ready", "running", "scheduled", "job", "outcome", "edge", "blocked"):
        protocol.rows(f"vacuum analyze taskforge.{table}")


def fill(protocol: Protocol, table: str = "ready") -> None:
    base = protocol.value("select base from taskforge.reserve_blocks(1)")
    protocol.rows(
        "insert into taskforge.job select %s + n, 1, %s, 0, 3, 1000, 2, 0, 'm:f', '\\x80'"
        " from generate_series(0, %s) n",
        *(base, protocol.queue, BACKLOG - 1),
    )
    first, second = ("ord", "n") if table == "ready" else ("run_at", "now() - interval '1 hour'")
    protocol.rows(
        f"insert into taskforge.{table} ({first}, job_id, queue_id, priority, attempt,"  # noqa: S608
        f" max_attempts, flags) select {second}, %s + n, %s, 0, 0, 3, 0"
        " from generate_series(0, %s) n",
        *(base, protocol.queue, BACKLOG - 1),
    )


def scans_of_a_life(protocol: Protocol) -> dict[str, int]:
    """Sequential scans of hot tables by one claim and one finish."""
    worker = protocol.register()
    with protocol.connection.transaction():
        claims = protocol.claim(worker, limit=50)
        assert protocol.finish(claims) == [
            claim.job for claim in sorted(claims, key=lambda c: c.job)
        ]
        return dict(protocol.rows(SEQUENTIAL))


def warm(protocol: Protocol) -> None:
    """Let this session make its plans while the tables are empty."""
    worker = protocol.register()
    for _ in range(7):
        protocol.claim(worker)
        protocol.stage()


@pytest.mark.postgres_versions
def test_claim_and_finish_read_no_table_whole_after_the_trap(database: Database) -> None:
    with Protocol.connect(database.url) as protocol:
        analysed_while_empty(protocol)
        warm(protocol)
        fill(protocol)
        assert scans_of_a_life(protocol) == {}


def test_stage_reads_no_table_whole_after_the_trap(protocol: Protocol) -> None:
    analysed_while_empty(protocol)
    warm(protocol)
    fill(protocol, "scheduled")
    with protocol.connection.transaction():
        assert protocol.stage() == 1000
        assert protocol.rows(SEQUENTIAL) == []


@pytest.mark.twin
def test_without_the_pins_the_trap_is_sprung(database: Database) -> None:
    break_function(database.url, "claim", *((pin, "") for pin in PINS))
    with Protocol.connect(database.url) as protocol:
        analysed_while_empty(protocol)
        warm(protocol)
        fill(protocol)
        assert scans_of_a_life(protocol) != {}


@pytest.mark.parametrize(
    "query,index",
    [
        (
            "ready where queue_id = 1 and priority = 0 and ord >= 5 order by ord",
            "ready_by_lane",
        ),
        (
            "scheduled where run_at <= now() order by run_at",
            "scheduled_by_time",
        ),
        (
            "schedule where next_fire_at <= now() order by next_fire_at",
            "schedule_due",
        ),
        (
            "expiring where expires_at < now() order by expires_at",
            "expiring_by_time",
        ),
    ],
)
def test_what_is_due_is_found_by_its_index(protocol: Protocol, query: str, index: str) -> None:
    protocol.rows("set enable_seqscan = off")
    protocol.rows("set enable_sort = off")
    explain = f"explain select * from taskforge.{query} limit 10"  # noqa: S608 - our own words
    plan = "\n".join(row[0] for row in protocol.rows(explain))
    assert index in plan
