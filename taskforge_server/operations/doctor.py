"""What is wrong with an installation and what to do: facts are asked for, then judged."""

from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from typing import Final

from attrs import frozen

from taskforge_server.operations.caller import Caller
from taskforge_server.storage import diagnosis
from taskforge_server.storage.diagnosis import DatabaseFacts, WorkFacts

LOWEST_MAJOR: Final = 15
HIGHEST_MAJOR: Final = 18
CLOCK_TOLERANCE_SECONDS: Final = 2.0
LONG_TRANSACTION_SECONDS: Final = 600.0
_CONNECTION_SHARE: Final = 0.8


class Grade(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@frozen(kw_only=True)
class Finding:
    """One thing looked at: what was found, and what to do about it."""

    check: str
    grade: Grade
    found: str
    advice: str = ""


async def examine_database(caller: Caller, here: datetime) -> list[Finding]:
    """Look at the database server itself; `here` is this machine's time."""
    facts = await diagnosis.database_facts(caller.database)
    return [*judge_server(facts), judge_clock(facts, here)]


async def examine_work(caller: Caller) -> list[Finding]:
    """Look at leases, partitions, schedules and queues; needs this version's schema."""
    database = caller.database
    return [
        *judge_work(await diagnosis.work_facts(database)),
        judge_queues(await diagnosis.unserved_queues(database)),
        judge_partitions(await diagnosis.missing_partitions(database)),
        judge_bloat(await diagnosis.bloated_tables(database)),
    ]


def judge_server(facts: DatabaseFacts) -> Iterator[Finding]:
    """Judge version, durability, autovacuum, connections and open transactions."""
    major = facts.version_number // 10_000
    supported = LOWEST_MAJOR <= major <= HIGHEST_MAJOR
    yield _finding(
        "postgresql",
        supported,
        f"PostgreSQL {facts.version}",
        f"use PostgreSQL {LOWEST_MAJOR} to {HIGHEST_MAJOR}",
    )
    yield _finding(
        "writable",
        not facts.is_replica,
        "a primary" if not facts.is_replica else "a replica",
        "point TASKFORGE_DATABASE_URL to the primary",
    )
    for name in ("fsync", "full_page_writes", "autovacuum"):
        value = getattr(facts, name)
        yield _finding(
            name, value == "on", value, f"set {name} = on: jobs are lost or slow without"
        )
    commit = facts.synchronous_commit
    yield _finding(
        "synchronous_commit",
        commit != "off",
        commit,
        "set synchronous_commit = on: an acknowledged job may be lost in a crash without",
    )
    crowded = facts.connections > facts.max_connections * _CONNECTION_SHARE
    yield _finding(
        "connections",
        not crowded,
        f"{facts.connections} of {facts.max_connections}",
        "raise max_connections, run fewer worker processes, or use a pooler",
        grade=Grade.WARNING,
    )
    seconds = facts.oldest_transaction_seconds or 0.0
    yield _finding(
        "transactions",
        seconds < LONG_TRANSACTION_SECONDS,
        f"the oldest is open for {seconds:.0f} s",
        "find it in pg_stat_activity and end it: dead rows pile up while it is open",
        grade=Grade.WARNING,
    )


def judge_clock(facts: DatabaseFacts, here: datetime) -> Finding:
    """Judge how far this machine's clock is from the database's, which decides what is due."""
    apart = abs((facts.now - here).total_seconds())
    return _finding(
        "clock",
        apart <= CLOCK_TOLERANCE_SECONDS,
        f"{apart:.1f} s from the database's",
        "run a time service (chrony, systemd-timesyncd) on both machines",
        grade=Grade.WARNING,
    )


def judge_work(facts: WorkFacts) -> Iterator[Finding]:
    """Judge what depends on a running engine and living workers."""
    yield _finding(
        "engine",
        facts.has_leader,
        "a server node leads" if facts.has_leader else "no server node is running",
        "start `taskforge server` (or `taskforge dev`): nothing is scheduled or rescued without",
    )
    yield _finding(
        "workers",
        facts.workers > 0,
        f"{facts.workers} at work",
        "start `taskforge worker APP`",
        grade=Grade.WARNING,
    )
    yield _finding(
        "leases",
        facts.orphans == 0 and facts.expired_workers == 0,
        f"{facts.expired_workers} over, {facts.orphans} jobs without a worker",
        "a server node rescues them within seconds; if not, read its log",
        grade=Grade.WARNING,
    )
    yield _finding(
        "staging",
        facts.overdue == 0,
        f"{facts.overdue} jobs are due for over 30 s",
        "start a server node, or read its log for the stager's errors",
    )
    yield _finding(
        "schedules",
        facts.late_schedules == 0,
        f"{facts.late_schedules} late",
        "start a server node, or read its log for the scheduler's errors",
    )
    yield _finding(
        "dead letters",
        facts.dead == 0,
        f"{facts.dead:,}",
        "taskforge dead groups",
        grade=Grade.WARNING,
    )


def judge_queues(unserved: list[str]) -> Finding:
    """Judge queues whose jobs nobody takes."""
    return _finding(
        "queues",
        not unserved,
        f"nobody takes from {', '.join(unserved)}" if unserved else "all that hold jobs are served",
        f"taskforge worker APP --queues {','.join(unserved)}",
    )


def judge_partitions(missing: list[str]) -> Finding:
    """Judge whether there is room for the coming days."""
    return _finding(
        "partitions",
        not missing,
        f"{' and '.join(missing)} missing" if missing else "today's and tomorrow's are there",
        "start a server node, which makes them ahead",
    )


def judge_bloat(tables: list[str]) -> Finding:
    """Judge dead rows in the hot tables."""
    return _finding(
        "vacuum",
        not tables,
        f"many dead rows in {', '.join(tables)}" if tables else "few dead rows",
        "look for long transactions and replication slots that hold rows back",
        grade=Grade.WARNING,
    )


def _finding(
    check: str, is_fine: object, found: str, advice: str, *, grade: Grade = Grade.WRONG
) -> Finding:
    if is_fine:
        return Finding(check=check, grade=Grade.OK, found=found)
    return Finding(check=check, grade=grade, found=found, advice=advice)
