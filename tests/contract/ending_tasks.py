"""Tasks that end in every way there is, without a wait that only an engine would end."""

from dataclasses import dataclass

from taskforge_client import (
    Bury,
    Cancel,
    Retry,
    RetryIn,
    Snooze,
    current_job,
    task,
)

QUEUE = "endings"


@dataclass
class Receipt:
    """What a sale came to."""

    order_id: int
    lines: tuple[str, ...] = ()


@task(queue=QUEUE)
async def sell(order_id: int, *, lines: tuple[str, ...] = ()) -> Receipt:
    current_job().log.info("selling %d", order_id)
    current_job().progress(1, 2, "half")
    return Receipt(order_id, lines)


@task(queue=QUEUE)
def give_nothing() -> None:
    pass


@task(queue=QUEUE, store_result=False)
def keep_nothing() -> int:
    return 1


@task(queue=QUEUE, retry=Retry.fixed(attempts=2, first=0))
def fail(message: str) -> int:
    raise ValueError(message)


@task(queue=QUEUE, retry=Retry.never(), dead_letters=False)
def fail_without_letter() -> int:
    raise KeyError("gone")


@task(queue=QUEUE, retry=Retry.fixed(attempts=3, first=0))
async def succeed_at(attempt: int) -> int:
    if current_job().attempt < attempt:
        raise RetryIn(0)
    return current_job().attempt


@task(queue=QUEUE)
async def put_off() -> int:
    raise Snooze(3600, "the shop is closed")


@task(queue=QUEUE)
def cancel_itself() -> int:
    raise Cancel("not wanted")


@task(queue=QUEUE)
def bury_itself() -> int:
    raise Bury("hopeless")


@task(queue=QUEUE)
async def spawn(count: int) -> int:
    current_job().spawn(*(sell.bind(number) for number in range(count)))
    return count


TASKS = (
    sell,
    give_nothing,
    keep_nothing,
    fail,
    fail_without_letter,
    succeed_at,
    put_off,
    cancel_itself,
    bury_itself,
    spawn,
)
