"""Counts the CPU seconds of every process that takes part in a run.

A part is a process with all its descendants, those that have ended included: their seconds pass to
the parent that waited for them. It sees local processes only, and on macOS only those alive.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import psutil
from attrs import define, field

THIS_PROCESS = "client"
_MOST_TRIES = 10


@define
class Spent:
    """CPU seconds by part, filled in when the measuring ends."""

    seconds: dict[str, float] = field(factory=dict)

    @property
    def total_seconds(self) -> float:
        """All parts together."""
        return sum(self.seconds.values())

    def per_job_us(self, jobs: int) -> dict[str, float]:
        """Return microseconds a job by part, as `postgres_us` and so on."""
        return {f"{part}_us": round(1e6 * used / jobs, 2) for part, used in self.seconds.items()}


@define
class CpuMeter:
    """Reads the parts' clocks.

    Attributes:
        parts: Process ids by the part's name; the same name may not stand for two. This process
            with whatever it started, as far as it is no part of its own, is `client`.
    """

    parts: dict[str, list[int]]

    @contextmanager
    def measure(self) -> Iterator[Spent]:
        """Measure the block; its `Spent` is filled in at the end."""
        spent = Spent()
        others_before = self._others()
        own_before = self._own()
        try:
            yield spent
        finally:
            own_after = self._own()
            others_after = self._others()
            spent.seconds = {THIS_PROCESS: own_after - own_before} | {
                part: others_after[part] - before for part, before in others_before.items()
            }

    def _own(self) -> float:
        return tree_seconds(os.getpid(), leaving_out=self._roots())

    def _others(self) -> Mapping[str, float]:
        return {
            part: sum(tree_seconds(pid, leaving_out=self._roots() - {pid}) for pid in pids)
            for part, pids in self.parts.items()
        }

    def _roots(self) -> frozenset[int]:
        return frozenset(pid for pids in self.parts.values() for pid in pids)


def tree_seconds(pid: int, *, leaving_out: frozenset[int] = frozenset()) -> float:
    """Return the CPU seconds of a process and all its descendants, alive or waited for.

    Args:
        pid: The root.
        leaving_out: Descendants that are counted elsewhere, with theirs.
    """
    root = psutil.Process(pid)
    total = 0.0
    for _ in range(_MOST_TRIES):
        before = root.cpu_times()
        total = before.user + before.system + before.children_user + before.children_system
        for child in root.children():
            if child.pid not in leaving_out:
                total += _seconds_if_there(child.pid, leaving_out)
        after = root.cpu_times()
        # A child that ended meanwhile stands in neither or in both sums: look again.
        if (after.children_user, after.children_system) == (
            before.children_user,
            before.children_system,
        ):
            break
    return total


def _seconds_if_there(pid: int, leaving_out: frozenset[int]) -> float:
    try:
        return tree_seconds(pid, leaving_out=leaving_out)
    except psutil.NoSuchProcess:
        return 0.0
