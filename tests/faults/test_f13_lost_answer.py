"""F13: something was committed and its answer never came."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from taskforge_client.options import Unique
from tests.support.fault_app import hold, spawning, work
from tests.support.faults import Proxy
from tests.support.fleet import Fleet
from tests.support.polling import let_pass, wait_until
from tests.support.trial import Trial
from tests.support.twins import break_function

pytestmark = [pytest.mark.e2e, pytest.mark.fault]

# How many bytes of answers still come: from none, over the middle of an answer or of a
# conversation of several, to all.
_BYTES = (0, 1, 20, 60, 150, 400, 1200)


def send_with_lost_answers(
    trial: Trial, count: int, options_of: Callable[[int], dict[str, Any]]
) -> None:
    """Send jobs while the answers stop at every point of the conversation."""
    with Proxy.to(trial.url) as proxy, trial.sending_to(proxy.url(trial.url)):
        trial.send(work)
        for byte_count in _BYTES:
            proxy.drop_after(byte_count)
            sender = threading.Thread(target=send_some, args=(trial, count, options_of))
            sender.start()
            let_pass(0.2)
            proxy.pass_through()
            sender.join(60)
            assert not sender.is_alive()


def send_some(trial: Trial, count: int, options_of: Callable[[int], dict[str, Any]]) -> None:
    """Send one job with options, or many without."""
    if count == 1:
        (marker,) = trial.markers(1)
        trial.send(work, marker, **options_of(marker))
    else:
        trial.send_many(work, count)


def check_stored_once(trial: Trial) -> None:
    """Fail unless exactly what was asked for is stored, and all of it was acknowledged."""
    stored = {number for (number,) in trial.rows("select id from taskforge.job")}
    assert stored == set(trial.numbers(trial.history.acknowledged)), "stored otherwise than told"
    assert set(trial.history.acknowledged) == trial.history.attempted


@pytest.mark.parametrize(
    "count,options_of",
    [
        (1, lambda _: {}),
        (1, lambda marker: {"key": f"request {marker}"}),
        (1, lambda _: {"unique": Unique(by="marker")}),
        (1, lambda _: {"tags": ["a"]}),
        (600, lambda _: {}),
    ],
    ids=["plain", "keyed", "unique", "tagged", "copied"],
)
def test_f13_a_send_whose_answer_is_lost_stores_once(
    trial: Trial, fleet: Fleet, count: int, options_of: Callable[[int], dict[str, Any]]
) -> None:
    send_with_lost_answers(trial, count, options_of)
    check_stored_once(trial)
    fleet.worker(trial.url, concurrency=64)
    trial.drain()
    trial.judge()


@pytest.mark.twin
def test_f13_twin_numbers_made_anew_by_the_database_are_caught(trial: Trial) -> None:
    """Without numbers that the sender brings, a repeated send is another job."""
    break_function(
        trial.url,
        "enqueue_plain",
        (
            "select * from unnest(p_jobs,",
            "select taskforge.mint() + place as id, a.* from unnest(p_jobs,",
        ),
        ("with ordinality a (id,", "with ordinality a (sent_id,"),
    )
    send_with_lost_answers(trial, 1, lambda _: {})
    with pytest.raises(AssertionError, match="stored otherwise than told"):
        check_stored_once(trial)


def test_f13_a_finish_whose_answer_is_lost_is_repeated_in_vain(trial: Trial, fleet: Fleet) -> None:
    with Proxy.to(trial.url) as proxy:
        worker = fleet.worker(
            proxy.url(trial.url), lease_url=trial.url, lease_seconds=60, concurrency=16
        )
        trial.send_many(work, 1)
        trial.drain()
        trial.send_many(hold, 8, trial.gate)
        trial.wait_until_began(9)
        proxy.drop_after(0)
        trial.open_gate()
        wait_until(lambda: trial.value("select count(*) from taskforge.outcome") > 1)
        proxy.pass_through()
        trial.drain()
        assert not [line for line in worker.said if line.startswith("stale ")]
    trial.judge()


def test_f13_what_a_finish_spawns_is_there_once(trial: Trial, fleet: Fleet) -> None:
    """Wherever in its transaction the answers stop."""
    children = []
    with Proxy.to(trial.url) as proxy:
        worker = fleet.worker(proxy.url(trial.url), lease_url=trial.url, lease_seconds=60)
        for turn, byte_count in enumerate(_BYTES, start=1):
            (parent, child) = trial.markers(2)
            children.append(trial.history.attempt(child))
            gate = f"{trial.gate}{turn}"
            trial.send(spawning, parent, child, gate)
            trial.wait_until_began(2 * turn - 1)
            proxy.drop_after(byte_count)
            Path(f"{gate}-1").touch()
            let_pass(0.2)
            proxy.pass_through()
            trial.drain()
        assert not [line for line in worker.said if line.startswith("stale ")]
    verdict = trial.judge()
    # Nobody was told of them, and each ran once.
    assert verdict.recovered == set(children)
    assert trial.value("select count(*) from taskforge.job") == 2 * len(children)


def test_f13_a_claim_whose_answer_is_lost_is_given_back(trial: Trial, fleet: Fleet) -> None:
    with Proxy.to(trial.url) as proxy:
        fleet.worker(proxy.url(trial.url), lease_url=trial.url, lease_seconds=12)
        trial.send(work)
        trial.drain()
        proxy.drop_after(0)
        stray = trial.send(work)
        wait_until(lambda: trial.value("select count(*) from taskforge.running") == 1)
        proxy.pass_through()
        trial.rows("update taskforge.running set claimed_at = claimed_at - interval '1 minute'")
        trial.drain()
    assert trial.outcomes(stray) == [(1, 5, None)]
    trial.judge()
