"""F14: connections that are open on this side alone: no end, no reset, no answer."""

import pytest

from tests.support.fault_app import hold, work
from tests.support.faults import Proxy
from tests.support.fleet import Fleet, engine_at_hand
from tests.support.polling import wait_until
from tests.support.trial import Trial

pytestmark = [pytest.mark.e2e, pytest.mark.fault]


def test_f14_a_worker_notices_that_its_connections_are_dead(trial: Trial, fleet: Fleet) -> None:
    """Claim, finish, doorbell and lease at once: all are opened anew and nothing was lost."""
    with Proxy.to(trial.url) as proxy, engine_at_hand(trial.url):
        worker = fleet.worker(proxy.url(trial.url), lease_seconds=60)
        trial.send(hold, None, trial.gate)
        wait_until(lambda: len(trial.history.began()) == 1)
        silenced_at = trial.value("select now()")
        proxy.silence()
        trial.open_gate()
        trial.send_many(work, 20)
        trial.drain(45)
        wait_until(
            lambda: trial.rows(
                "select 1 from pg_stat_activity where datname = current_database()"
                " and application_name = 'taskforge listen' and backend_start > %s",
                silenced_at,
            )
        )
        assert len(worker.leases) == 1
    trial.judge()


def test_f14_a_heartbeat_without_an_answer_is_sent_anew(trial: Trial, fleet: Fleet) -> None:
    with Proxy.to(trial.url) as proxy, engine_at_hand(trial.url):
        worker = fleet.worker(
            trial.url, lease_url=proxy.url(trial.url), lease_seconds=6, concurrency=4
        )
        trial.send_many(hold, 4, trial.gate)
        trial.wait_until_began(4)
        proxy.silence()
        later = trial.value("select now() + interval '14 seconds'")
        renewed = "select 1 from taskforge.worker where expires_at > %s"
        wait_until(lambda: trial.rows(renewed, later), 30)
        trial.open_gate()
        trial.drain()
        assert len(worker.leases) == 1
    assert trial.lost_leases() == 0
    trial.judge()


def test_f14_a_worker_that_can_not_renew_stops_by_itself(trial: Trial, fleet: Fleet) -> None:
    """It ends its work while the heartbeat still waits, and comes back when it can."""
    with Proxy.to(trial.url) as proxy, engine_at_hand(trial.url):
        worker = fleet.worker(
            trial.url, lease_url=proxy.url(trial.url), lease_seconds=4, concurrency=4
        )
        trial.send_many(hold, 4, trial.gate)
        trial.wait_until_began(4)
        proxy.stall()
        worker.wait_for_lease(2)
        proxy.pass_through()
        trial.open_gate()
        trial.drain()
    trial.judge(duplicates_allowed=trial.lost_leases())


def test_f14_an_engine_goes_on_over_new_connections(trial: Trial, fleet: Fleet) -> None:
    with Proxy.to(trial.url) as proxy:
        fleet.engine(proxy.url(trial.url))
        fleet.worker(trial.url)
        trial.send(work, delay=0.1)
        trial.drain()
        proxy.silence()
        trial.send(work, delay=0.1)
        trial.drain()
    trial.judge()
