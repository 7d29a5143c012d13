"""Fills a database with finished jobs by SQL: millions in a minute or two, on days gone by."""

from concurrent.futures import ThreadPoolExecutor
from typing import Final

from benchmarks.database import connect
from benchmarks.tasks import noop

DAYS: Final = 5
_MS_PER_DAY: Final = 86_400_000
# Days from the day before yesterday backwards; today's and yesterday's partitions are there.
_PARTITIONS: Final = (
    "select taskforge.ensure_partition((clock_timestamp() at time zone 'UTC')::date - 2 - ago)"
    " from generate_series(0, %(days)s - 1) ago"
)
_NUMBERS: Final = """
    select taskforge.mint_base(
        (extract(epoch from ((clock_timestamp() at time zone 'UTC')::date - 2 - ago)::timestamp)
         * 1000)::bigint + place * %(step_ms)s, 0) + place %% 1024 as id
    from generate_series(0, %(days)s - 1) ago, generate_series(0, %(a_day)s - 1) place
"""
_JOBS: Final = f"""
    insert into taskforge.job (id, project_id, queue_id, priority, max_attempts, timeout_ms,
        encoding, on_parent_failure, task, payload)
    select id, 1, taskforge.ensure_lane(1, 'default', 0::smallint), 0, 5, 3600000, 2, 0,
        %(task)s, '\\x81a66e756d62657201'
    from ({_NUMBERS}) numbers
"""  # noqa: S608 - made of constants
_OUTCOMES: Final = f"""
    insert into taskforge.outcome (job_id, token, worker_id, finished_at, duration_us, attempt,
        state)
    select id, id, 1, taskforge.minted_at(id), 10, 1, 5 from ({_NUMBERS}) numbers
"""  # noqa: S608 - made of constants


def fill_history(url: str, jobs: int) -> int:
    """Add finished jobs spread over the last days and return how many."""
    a_day = max(jobs // DAYS, 1)
    parameters = {
        "days": DAYS,
        "a_day": a_day,
        "step_ms": max(_MS_PER_DAY // a_day, 1),
        "task": noop.name,
    }
    with connect(url) as connection:
        connection.execute(_PARTITIONS, parameters)
    with ThreadPoolExecutor() as both:
        for done in [both.submit(_run, url, text, parameters) for text in (_JOBS, _OUTCOMES)]:
            done.result()
    return a_day * DAYS


def _run(url: str, statement: str, parameters: dict[str, object]) -> None:
    with connect(url) as connection:
        connection.execute(statement.encode(), parameters)
