"""What the parent decides about a worker process from the page they share."""

import pytest
from attrs import Factory, define

from taskforge_client.errors import Unreachable
from taskforge_client.wire.workers import Heartbeat, HeartbeatAnswer
from taskforge_client.worker.board import NEVER, STEP, THREADS, Board
from taskforge_client.worker.guard import Guard, Verdict

pytestmark = pytest.mark.unit


@define(eq=False)
class Leases:
    beats: list[int] = Factory(list)
    ended: list[int] = Factory(list)
    alive: bool = True
    away: bool = False

    def beat(self, beat: Heartbeat) -> HeartbeatAnswer:
        if self.away:
            raise Unreachable
        self.beats.append(beat.worker)
        return HeartbeatAnswer(alive=self.alive)

    def end(self, worker: int) -> None:
        if self.away:
            raise Unreachable
        self.ended.append(worker)

    def close(self) -> None:
        """Nothing to close."""


class Scene:
    def __init__(self) -> None:
        self.now = 100.0
        self.frozen = False
        self.board = Board.alone()
        self.leases = Leases()
        self.guard = Guard(self.board, self.leases, lambda: self.now, lambda: self.frozen)
        self.board.take_lease(7, 30.0, 130.0)
        self.board.loop_turned(100.0)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_healthy_process_is_left_alone(scene: Scene) -> None:
    scene.board.fields[STEP] = 90.0  # long past, but the loop turns
    assert scene.guard.look() is Verdict.FINE
    assert scene.leases.beats == []


def test_a_process_that_holds_the_interpreter_is_renewed_for_until_its_jobs_deadline(
    scene: Scene,
) -> None:
    scene.board.fields[STEP] = 150.0
    for scene.now in (105.0, 111.0, 112.0, 117.0, 128.0, 151.0):
        assert scene.guard.look() is Verdict.FINE
    assert scene.leases.beats == [7, 7, 7]
    assert scene.board.lease_until == 181.0
    scene.now = 152.5
    assert scene.guard.look() is Verdict.KILL


def test_a_hung_thread_that_holds_the_interpreter_is_killed_too(scene: Scene) -> None:
    scene.board.fields[THREADS] = 101.0
    scene.now = 104.0
    assert scene.guard.look() is Verdict.KILL


@pytest.mark.parametrize("frozen", [True, False])
def test_the_lease_of_a_process_that_runs_nothing_runs_out(scene: Scene, *, frozen: bool) -> None:
    scene.board.fields[STEP] = 900.0 if frozen else NEVER
    scene.frozen = frozen
    scene.now = 129.0
    assert scene.guard.look() is Verdict.FINE
    assert scene.leases.beats == []


def test_a_stuck_process_whose_lease_is_lost_is_killed(scene: Scene) -> None:
    scene.board.fields[STEP] = 900.0
    scene.leases.alive = False
    scene.now = 115.0
    assert scene.guard.look() is Verdict.KILL


def test_a_stuck_process_whose_lease_is_over_is_killed_though_nobody_answers(
    scene: Scene,
) -> None:
    scene.board.fields[STEP] = 900.0
    scene.leases.away = True
    scene.now = 131.0
    assert scene.guard.look() is Verdict.KILL


def test_an_unreachable_source_kills_nobody(scene: Scene) -> None:
    scene.board.fields[STEP] = 900.0
    scene.leases.away = True
    scene.now = 115.0
    assert scene.guard.look() is Verdict.FINE
    scene.guard.bury()


def test_the_lease_of_a_dead_process_is_ended_once(scene: Scene) -> None:
    scene.guard.bury()
    scene.guard.bury()
    assert scene.leases.ended == [7]


def test_both_ends_of_a_shared_board_see_the_same() -> None:
    import os

    board, descriptor = Board.create()
    other = Board.opened(descriptor)
    os.close(descriptor)
    other.take_lease(9, 30.0, 12.5)
    other.renewed(20.0)
    other.renewed(15.0)
    assert (board.worker, board.lease_until, board.lease_seconds) == (9, 20.0, 30.0)
    assert board.blocking_deadline() == NEVER
    other.drop_lease()
    assert board.worker == 0
