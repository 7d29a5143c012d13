"""Several sessions at once: nothing lost, doubled or forgotten; and each guard's broken twin."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial

import psycopg
import pytest

from tests.support.postgres import Database, wait_for_lock_waiter
from tests.support.protocol import CANCELLED, DEAD, SCHEDULED, SUCCEEDED, Protocol
from tests.support.together import together
from tests.support.twins import break_function

pytestmark = pytest.mark.storage


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
