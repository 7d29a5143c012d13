"""Several sessions at once: nothing lost, doubled or forgotten; and each guard's broken twin."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import psycopg
import pytest

from tests.support.polling import wait_until
from tests.support.postgres import Database, wait_for_lock_waiter
from tests.support.protocol import CANCELLED, DEAD, SCHEDULED, SUCCEEDED, Protocol
from tests.support.twins import break_function

pytestmark = pytest.mark.storage


def together(url: str, *works: Callable[[Protocol], object]) -> list[object]:
    """Do works at the same time, each on its own connection; raises what any raised."""
    barrier = threading.Barrier(len(works))

    def run(work: Callable[[Protocol], object]) -> object:
        with Protocol.connect(url) as protocol:
            barrier.wait(10)
            return work(protocol)

    with ThreadPoolExecutor(len(works)) as executor:
        return list(executor.map(run, works))


# ---------------------------------------------------------------- fence


def fence_race(url: str) -> Counter[int]:
    """Slow workers finish what was claimed again; count how often each job was told won."""
    jobs = 300
    with Protocol.connect(url) as protocol:
        numbers = set(protocol.enqueue_plain(jobs))
        # Enough attempts, so that only the fence decides.
        protocol.rows("update taskforge.ready set max_attempts = 1000")
    won: Counter[int] = Counter()
    lock = threading.Lock()
    deadline = time.monotonic() + 20

    def work(protocol: Protocol) -> None:
        rng = random.Random(threading.get_ident())  # noqa: S311 - a test's dice
        while time.monotonic() < deadline and len(won) < jobs:
            worker = protocol.register()
            claims = protocol.claim(worker, limit=20)
            if rng.random() < 0.5:
                protocol.value("select taskforge.end_lease(%s)", worker)
                protocol.rescue()
            for _ in range(rng.choice((1, 2))):
                recorded = protocol.finish(claims)
                with lock:
                    won.update(recorded)
            protocol.value("select taskforge.end_lease(%s)", worker)

    together(url, work, work, work)
    assert set(won) == numbers
    return won


def test_each_job_is_won_once(database: Database) -> None:
    won = fence_race(database.url)
    assert set(won.values()) == {1}
    with Protocol.connect(database.url) as protocol:
        final = protocol.rows(
            "select job_id, count(*) from taskforge.outcome where state = 5 group by 1"
        )
        assert len(final) == len(won)
        assert {count for _, count in final} == {1}


@pytest.mark.twin
def test_without_the_fence_a_stale_attempt_decides(database: Database) -> None:
    assert stale_finish(database) == []
    break_function(database.url, "finish", ("and r.token = f.token", ""))
    assert stale_finish(database) != []


def stale_finish(database: Database) -> list[int]:
    """Finish an attempt that was given back and claimed again under the same number."""
    with Protocol.connect(database.url) as protocol:
        protocol.enqueue()
        worker = protocol.register()
        stale = protocol.claim(worker)
        protocol.release(stale)
        (current,) = protocol.claim(worker)
        assert current.attempt == stale[0].attempt
        recorded = protocol.finish(stale)
        protocol.finish([current])
        return recorded


# ---------------------------------------------------------------- floors and late commits


def claim_around_a_late_commit(database: Database, *, sweep: bool) -> bool:
    """A job drawn early and committed late: is it claimed by a claimer with floors?"""
    with Protocol.connect(database.url) as early, Protocol.connect(database.url) as protocol:
        worker = protocol.register()
        floors: dict[tuple[int, int], int] = {}
        with early.connection.transaction():
            (late,) = early.enqueue_plain(1)
            (seen,) = protocol.enqueue_plain(1)
            assert [claim.job for claim in protocol.claim(worker, floors=floors)] == [seen]
        found = [claim.job for claim in protocol.claim(worker, floors=floors)]
        if sweep:
            found += [claim.job for claim in protocol.claim(worker)]
        return late in found


def test_a_late_commit_is_found_by_the_sweep(database: Database) -> None:
    assert claim_around_a_late_commit(database, sweep=True)


@pytest.mark.twin
def test_without_the_sweep_it_is_lost(database: Database) -> None:
    assert not claim_around_a_late_commit(database, sweep=False)


# ---------------------------------------------------------------- joins


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
            "create function pg_temp_hold() returns trigger language plpgsql as"
            " 'begin perform pg_advisory_xact_lock_shared(99); return null; end'"
        )
        protocol.rows(
            "create trigger hold before delete on taskforge.running"
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
    assert finish_between_snapshot_and_number(database) == {"blocked"}


# ---------------------------------------------------------------- cancel against everything


def test_cancel_against_finish_retry_and_claim_ends_once(database: Database) -> None:
    jobs = 1_000
    with Protocol.connect(database.url) as protocol:
        numbers = protocol.enqueue_plain(jobs)
        protocol.rows("update taskforge.ready set max_attempts = 1000")

    def cancel(mine: Protocol) -> object:
        answers: dict[int, int] = {}
        for number in numbers:
            answers.update(mine.cancel(number))
        return answers

    def work(mine: Protocol) -> object:
        rng = random.Random(3)  # noqa: S311 - a test's dice
        worker = mine.register(600)
        idle = 0
        while idle < 3:
            claims = mine.claim(worker, limit=3)
            idle = 0 if claims else idle + 1
            if claims and rng.random() < 0.3:
                mine.release(claims)
            elif claims:
                mine.finish(claims, [rng.choice((SUCCEEDED, SCHEDULED)) for _ in claims])
        return None

    answers, *_ = together(database.url, cancel, work, work)
    assert isinstance(answers, dict)
    with Protocol.connect(database.url) as protocol:
        assert set(answers) == set(numbers)
        for number, answer in answers.items():
            assert protocol.place(number) == set()
            ended = [state for _, state in protocol.outcomes(number) if state >= SUCCEEDED]
            assert len(ended) == 1
            if answer == CANCELLED:
                assert ended == [CANCELLED]


def cancel_all(jobs: list[int], mine: Protocol) -> None:
    assert set(mine.cancel(*jobs)) == set(jobs)


def test_two_cancels_in_opposite_order_never_deadlock(database: Database) -> None:
    with Protocol.connect(database.url) as protocol:
        for _ in range(15):
            parent = protocol.enqueue(delay_ms=60_000)
            numbers = [
                *protocol.enqueue_plain(20),
                *(protocol.enqueue(delay_ms=60_000) for _ in range(10)),
                *(protocol.enqueue(after=[parent], unique_key=f"{n:02x}") for n in range(10)),
            ]
            together(
                database.url,
                partial(cancel_all, numbers),
                partial(cancel_all, numbers[::-1]),
                partial(cancel_all, [parent]),
            )
            assert protocol.value("select count(*) from taskforge.unique_work") == 0


# ---------------------------------------------------------------- unique keys


def release_race(url: str) -> None:
    """Holders of keys end in an order that is not the keys', while others ask for them."""

    def life(order: int) -> Callable[[Protocol], object]:
        def work(mine: Protocol) -> object:
            worker = mine.register(600)
            keys = [f"{key:04x}" for key in range(60)]
            for _ in range(12):
                with mine.connection.transaction():
                    for key in keys[::order]:
                        mine.enqueue(unique_key=key)
                mine.finish(mine.claim(worker, limit=100))
            return None

        return work

    together(url, life(1), life(1), life(1))


def test_unique_keys_are_released_in_key_order(database: Database) -> None:
    release_race(database.url)


@pytest.mark.twin
def test_releasing_in_job_order_deadlocks(database: Database) -> None:
    """One session asks for keys in order while another releases them in job order."""
    break_function(
        database.url,
        "release_unique",
        ("order by u.project_id, u.key for update", "order by u.job_id desc for update"),
    )
    assert release_against_ask(database) == "deadlock"


def test_releasing_while_others_ask_waits_and_goes_on(database: Database) -> None:
    assert release_against_ask(database) == "fine"


def release_against_ask(database: Database) -> str:
    """Ask for key 1, let a release begin, ask for key 2."""
    with Protocol.connect(database.url) as protocol, Protocol.connect(database.url) as asker:
        for key in ("01", "02"):
            protocol.enqueue(unique_key=key)
        claims = protocol.claim(protocol.register())
        outcome: list[str] = []

        def finish() -> None:
            with Protocol.connect(database.url) as mine:
                try:
                    mine.finish(claims, DEAD)
                except psycopg.errors.DeadlockDetected:
                    outcome.append("deadlock")

        finisher = threading.Thread(target=finish)
        try:
            with asker.connection.transaction():
                asker.enqueue(unique_key="01")
                finisher.start()
                wait_for_lock_waiter(database.url)
                asker.enqueue(unique_key="02")
        except psycopg.errors.DeadlockDetected:
            outcome.append("deadlock")
        finisher.join()
        return outcome[0] if outcome else "fine"
