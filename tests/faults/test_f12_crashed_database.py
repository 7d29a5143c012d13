"""F12: PostgreSQL crashes and recovers under load."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.fault_app import work
from tests.support.fleet import Fleet, engine_at_hand
from tests.support.postgres import PrivateServer
from tests.support.trial import new_trial

pytestmark = [pytest.mark.e2e, pytest.mark.fault]


def test_f12_a_crash_loses_nothing_that_was_acknowledged(
    private_server: PrivateServer, fleet: Fleet, tmp_path: Path
) -> None:
    trial = new_trial(private_server.url, tmp_path)
    with trial.app, engine_at_hand(trial.url):
        trial.send_many(work, 600, 0.01)
        weathered = fleet.worker(trial.url, concurrency=16)
        for turn in range(2):
            trial.wait_for_ended(100 * (turn + 1), weathered.leases[0])
            private_server.crash()
            private_server.start()
            for number in range(20):
                trial.send(work, key=f"request {turn} {number}")
            trial.send_many(work, 600)
        assert weathered.leave() == 0
        fleet.worker(trial.url, concurrency=32)
        trial.drain()
    assert trial.value("select count(*) from taskforge.job") == len(trial.history.attempted)
    trial.judge(duplicates_allowed=trial.lost_leases())


def test_f12_a_send_waits_for_the_database_to_come_back(
    private_server: PrivateServer, fleet: Fleet, tmp_path: Path
) -> None:
    trial = new_trial(private_server.url, tmp_path)
    with trial.app:
        trial.send(work)
        private_server.crash()
        sender = sending(trial.send, work)
        private_server.start()
        sender.join(60)
        fleet.worker(trial.url)
        trial.drain()
    assert len(trial.history.acknowledged) == 2
    trial.judge()


def test_f12_an_engine_stops_in_order_while_the_database_is_away(
    private_server: PrivateServer, fleet: Fleet
) -> None:
    engine = fleet.engine(private_server.url)
    private_server.crash()
    assert engine.leave() == 0


def sending(send: Callable[..., int], task: Any) -> threading.Thread:
    """Send a job from a thread of its own."""
    thread = threading.Thread(target=send, args=[task])
    thread.start()
    return thread
