"""F33: bulk changes of the same jobs, each in another order."""

import random
import threading
from collections.abc import Callable

import pytest

from taskforge_client.options import Unique
from tests.support.fault_app import work
from tests.support.fleet import Fleet, engine_at_hand
from tests.support.trial import Trial

pytestmark = [pytest.mark.e2e, pytest.mark.fault]

_ROUNDS = 12


def test_f33_orders_that_cross_end_no_transaction(trial: Trial, fleet: Fleet) -> None:
    """Cancel in both directions, enqueue the same unique work, rescue and finish, all at once."""
    errors: list[BaseException] = []
    chosen = random.Random(33)  # noqa: S311 - a seed, no secret
    fleet.worker(trial.url, concurrency=32)
    with engine_at_hand(trial.url):
        for _ in range(_ROUNDS):
            markers = trial.send_many(work, 40, 0.02)
            parents = [trial.app.job(trial.history.acknowledged[marker]) for marker in markers[:3]]
            markers += [trial.send(work, after=parents, unique=Unique(by="marker"))]
            numbers = trial.numbers(markers)
            cancelled = chosen.sample(numbers, 25)
            run_at_once(
                errors,
                lambda some=cancelled: cancel(trial, some),  # type: ignore[misc]
                lambda some=cancelled: cancel(trial, some[::-1]),  # type: ignore[misc]
                lambda: trial.rows("select rescued from taskforge.rescue(100)"),
                lambda: send_same_work(trial, [1, 2, 3]),
                lambda: send_same_work(trial, [3, 2, 1]),
            )
        trial.drain()
    assert not errors
    assert (
        trial.value("select deadlocks from pg_stat_database where datname = current_database()")
        == 0
    )
    ended = trial.history.ended()
    gone = [marker for marker, state in trial.final_states().items() if state == "cancelled"]
    assert not ended & set(gone)
    trial.judge(excused=gone)


def cancel(trial: Trial, numbers: list[int]) -> None:
    """Cancel many jobs in one statement."""
    trial.rows("select job_id from taskforge.cancel(1, %s, 'crossed')", numbers)


def send_same_work(trial: Trial, order: list[int]) -> None:
    """Send unique pieces of work that others send as well, in one transaction."""
    sent = work.via(trial.app).using(unique=Unique(by="seconds"))
    trial.app.enqueue_many(sent.bind(f"{trial.ledger}-same", 0, 0.001 * piece) for piece in order)


def run_at_once(errors: list[BaseException], *acts: Callable[[], object]) -> None:
    """Run functions in threads that start together; keep what they raise."""
    gate = threading.Barrier(len(acts))

    def run(act: Callable[[], object]) -> None:
        gate.wait(30)
        try:
            act()
        except Exception as error:  # noqa: BLE001 - the test shows them all
            errors.append(error)

    threads = [threading.Thread(target=run, args=[act]) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
