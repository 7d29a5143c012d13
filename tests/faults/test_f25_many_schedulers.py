"""F25: several schedulers at once, killed, frozen and replaced in turn."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from taskforge_client.app import TaskForge
from taskforge_client.schedules import every
from taskforge_server.storage import schedules
from taskforge_server.storage.pool import Pool
from tests.support.fleet import Fleet
from tests.support.polling import wait_until
from tests.support.trial import Trial

pytestmark = [pytest.mark.e2e, pytest.mark.fault]

_SERVICES = ("leader", "scheduler", "lookout")
_FIRES = "select count(*) from taskforge.schedule_fire"


def declare(url: str, count: int) -> None:
    """Store schedules that fire every second."""
    app = TaskForge(url)

    def nothing() -> None:
        """Take no arguments, as a scheduled task must."""

    for number in range(count):
        app.task(name=f"tick{number}", schedule=every(seconds=1))(nothing)

    async def put() -> None:
        async with await Pool.open(url) as pool, pool.transaction() as connection:
            for spec in app.scheduled():
                await schedules.put(connection, 1, spec)

    asyncio.run(put())


def check_each_fire_once(trial: Trial) -> None:
    """Fail unless fire times and jobs are one to one, each under its own time."""
    fires = trial.rows("select schedule_id, fire_at, job_id from taskforge.schedule_fire")
    jobs = trial.rows("select schedule_id, fire_at, id from taskforge.job")
    assert sorted(fires) == sorted(jobs)
    times = [(schedule, fire_at) for schedule, fire_at, _ in jobs]
    assert len(times) == len(set(times))
    assert all(fire_at.microsecond == 0 for _, fire_at in times)


def test_f25_each_time_fires_once_whoever_dies(trial: Trial, fleet: Fleet) -> None:
    declare(trial.url, 4)
    engines = [fleet.engine(trial.url, *_SERVICES) for _ in range(3)]
    for turn in range(3):
        fired = trial.value(_FIRES)
        wait_until(lambda fired=fired: trial.value(_FIRES) >= fired + 4, 30)  # type: ignore[misc]
        frozen = engines[turn]
        frozen.freeze()
        engines[(turn + 1) % 3].kill()
        engines[(turn + 1) % 3] = fleet.engine(trial.url, *_SERVICES)
        frozen.thaw()
    for engine in engines:
        assert engine.leave() == 0
    assert trial.value(_FIRES) >= 12
    check_each_fire_once(trial)


def test_f25_one_time_fired_by_many_at_once_makes_one_job(trial: Trial) -> None:
    declare(trial.url, 1)

    def fire(minute: int) -> None:
        trial.rows(
            "select job_id from taskforge.fire_schedule("
            "(select id from taskforge.schedule), date_trunc('hour', now())"
            " + make_interval(mins => %s), null)",
            minute,
        )

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(fire, [minute for minute in range(20) for _ in range(4)]))
    assert trial.value(_FIRES) == 20
    check_each_fire_once(trial)
