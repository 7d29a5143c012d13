"""Parents that finish at the same time: each child is freed once; and each guard's broken twin."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

import psycopg
import pytest

from tests.support.polling import wait_until
from tests.support.postgres import Database, wait_for_lock_waiter
from tests.support.protocol import Protocol
from tests.support.together import together
from tests.support.twins import break_function

pytestmark = pytest.mark.storage


def join_race(url: str, children: int) -> int:
    """Two parents of each child finish at the same instant; return how many children are free."""
    with Protocol.connect(url) as protocol:
        pairs = []
        for _ in range(children):
            parents = protocol.enqueue_plain(2)
            protocol.enqueue(after=parents)
            pairs.append(parents)
        claims = {
            claim.job: claim
            for _ in range(children // 250 + 1)
            for claim in protocol.claim(protocol.register(), limit=2 * children)
        }

        def finisher(side: int) -> Callable[[Protocol], object]:
            def work(mine: Protocol) -> object:
                for start in range(0, children, 5):
                    mine.finish([claims[pair[side]] for pair in pairs[start : start + 5]])
                return None

            return work

        together(url, finisher(0), finisher(1))
        free: int = protocol.value("select count(*) from taskforge.ready")
        assert protocol.value("select count(*) from taskforge.blocked") == children - free
        return free


def test_a_join_fires_exactly_once(database: Database) -> None:
    assert join_race(database.url, 500) == 500


def join_across_an_open_finish(database: Database) -> set[str]:
    """The second parent's finish waits for the first one's, which counts the child down."""
    with Protocol.connect(database.url) as first, Protocol.connect(database.url) as second:
        parents = first.enqueue_plain(2)
        child = first.enqueue(after=parents)
        claims = first.claim(first.register())
        waiting = threading.Thread(target=lambda: second.finish(claims[1:]))
        with first.connection.transaction():
            first.finish(claims[:1])
            waiting.start()
            wait_for_lock_waiter(database.url)
        waiting.join()
        return first.place(child)


def test_a_child_is_counted_down_as_it_is_after_the_lock(database: Database) -> None:
    assert join_across_an_open_finish(database) == {"ready"}


@pytest.mark.twin
def test_counting_down_what_was_read_before_the_lock_loses_a_join(database: Database) -> None:
    counted = (
        "(select k.remaining from taskforge.blocked k where k.job_id = hit.child) as remaining"
    )
    break_function(
        database.url,
        "resolve",
        ("b.remaining <= h.parents", "h.remaining <= h.parents"),
        ("b.remaining > h.parents", "h.remaining > h.parents"),
        (
            "unnest(v_children, v_counts, v_bads) h (",
            "unnest(v_children, v_counts, v_bads, v_read) h (",
        ),
        ("(child, parents, bad)", "(child, parents, bad, remaining)"),
        (
            "into v_children, v_counts, v_bads",
            ", array_agg(h.remaining) into v_children, v_counts, v_bads, v_read",
        ),
        (
            "(select * from hit order by child) h",
            f"(select hit.*, {counted} from hit order by child) h",  # noqa: S608 - our own words
        ),
        ("v_children bigint[];", "v_children bigint[]; v_read int[];"),
    )
    assert join_across_an_open_finish(database) == {"blocked"}


# ---------------------------------------------------------------- late children


def late_children(url: str, seconds: float, *, sweep: bool = True) -> tuple[int, int]:
    """Enqueue children while their parents finish; return how many, and how many are stuck."""
    deadline = time.monotonic() + seconds
    all_sent = threading.Event()
    sent: list[int] = []

    def send(protocol: Protocol) -> None:
        rng = random.Random(5)  # noqa: S311 - a test's dice
        recent: list[int] = []
        while time.monotonic() < deadline:
            recent = (recent + protocol.enqueue_plain(4))[-12:]
            with protocol.connection.transaction():
                sent.extend(protocol.enqueue(after=rng.sample(recent, 3)) for _ in range(3))
        all_sent.set()

    def work(protocol: Protocol) -> None:
        worker = protocol.register(600)
        while True:
            last = all_sent.is_set()
            claims = protocol.claim(worker, limit=7)
            if claims:
                protocol.finish(claims)
            elif last:
                return

    def resolve(protocol: Protocol) -> None:
        while sweep and not all_sent.is_set():
            protocol.resolve()

    together(url, send, work, work, resolve)
    with Protocol.connect(url) as protocol:
        if sweep:
            wait_until(lambda: nothing_late(protocol))
        drain(protocol)
        stuck: int = protocol.value("select count(*) from taskforge.blocked")
        doubled = "select job_id from taskforge.outcome group by 1 having count(*) > 1"
        assert protocol.rows(doubled) == []
        return len(sent), stuck


def drain(protocol: Protocol) -> None:
    """Run whatever is ready."""
    while protocol.finish(protocol.claim(protocol.register())):
        pass


def nothing_late(protocol: Protocol) -> bool:
    """Run and resolve what there is; true when no parent is looked at any more."""
    drain(protocol)
    protocol.resolve()
    return protocol.rows("select 1 from taskforge.late") == []


def test_no_child_is_forgotten_by_parents_that_finish_meanwhile(database: Database) -> None:
    sent, stuck = late_children(database.url, 5)
    assert sent > 100
    assert stuck == 0


@pytest.mark.twin
def test_without_the_late_sweep_children_stick(database: Database) -> None:
    _, stuck = late_children(database.url, 4, sweep=False)
    assert stuck > 0


def finish_between_snapshot_and_number(database: Database) -> set[str]:
    """Hold a finish between snapshot and first write while a child is enqueued and swept."""
    with Protocol.connect(database.url) as protocol, psycopg.connect(database.url) as gate:
        parent = protocol.enqueue()
        claims = protocol.claim(protocol.register())
        protocol.rows(
            "create or replace function pg_temp_hold() returns trigger language plpgsql as"
            " 'begin perform pg_advisory_xact_lock_shared(99); return null; end'"
        )
        protocol.rows(
            "create or replace trigger hold before delete on taskforge.running"
            " for each statement execute function pg_temp_hold()"
        )
        gate.execute("select pg_advisory_xact_lock(99)")

        def finish() -> None:
            with Protocol.connect(database.url) as mine:
                mine.finish(claims)

        finisher = threading.Thread(target=finish)
        finisher.start()
        wait_for_lock_waiter(database.url)
        child = protocol.enqueue(after=[parent])
        for _ in range(2):
            protocol.resolve()
        gate.rollback()
        finisher.join()
        protocol.resolve()
        return protocol.place(child)


def test_a_finish_draws_its_number_before_it_looks_for_children(database: Database) -> None:
    assert finish_between_snapshot_and_number(database) == {"ready"}


@pytest.mark.twin
def test_a_number_drawn_after_the_snapshot_forgets_a_child(database: Database) -> None:
    break_function(database.url, "finish", ("perform pg_current_xact_id();", ""))
    # A transaction open on the server meanwhile keeps the late row: the hole stays hidden.
    wait_until(lambda: finish_between_snapshot_and_number(database) == {"blocked"})
