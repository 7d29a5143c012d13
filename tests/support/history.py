"""What was asked, what was answered and what was executed; and whether the three agree.

The idea is Jepsen's total-queue checker: keep every attempt to enqueue, every acknowledgement and
every execution, let the queue drain, then compare. Each job carries a *marker*, a number that the
test gives it, because a send whose answer was lost has no id. An execution is written by the task
itself with one `write` to a file opened for appending, which outlives the process that wrote it.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from attrs import define, field, frozen

_FIELDS = 4
BEGAN = "began"
ENDED = "ended"


def record(ledger: str | Path, marker: int, attempt: int, stage: str) -> None:
    """Append one line about an execution, whole or not at all.

    Args:
        ledger: The file.
        marker: The number that the test gave the job.
        attempt: Which attempt of the job this is.
        stage: `BEGAN` or `ENDED`.
    """
    file = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(file, f"{marker} {attempt} {stage} {os.getpid()}\n".encode())
    finally:
        os.close(file)


@frozen(kw_only=True)
class Execution:
    """One line of the ledger."""

    marker: int
    attempt: int
    stage: str
    process: int


@define(kw_only=True)
class History:
    """All that a test asked for and was told; `ledger` is where the tasks write."""

    ledger: Path
    attempted: set[int] = field(init=False, factory=set)
    acknowledged: dict[int, str] = field(init=False, factory=dict)
    refused: set[int] = field(init=False, factory=set)

    def attempt(self, marker: int) -> int:
        """Note that a job is about to be sent; without a word after it, its fate is unknown."""
        self.attempted.add(marker)
        return marker

    def acknowledge(self, marker: int, identifier: str) -> None:
        """Note that a job was stored, by its public id."""
        self.acknowledged[marker] = identifier

    def refuse(self, marker: int) -> None:
        """Note an answer that said no. A missing answer is no such answer."""
        self.refused.add(marker)

    def executions(self) -> list[Execution]:
        """Return what the tasks wrote so far, in order."""
        if not self.ledger.exists():
            return []
        found = []
        for line in self.ledger.read_text(encoding="utf-8").splitlines():
            fields = line.split()
            assert len(fields) == _FIELDS, f"the ledger holds a torn line: {line!r}"
            marker, attempt, stage, process = fields
            found.append(
                Execution(
                    marker=int(marker), attempt=int(attempt), stage=stage, process=int(process)
                )
            )
        return found

    def began(self) -> set[int]:
        """Return the markers of which some execution began."""
        return {execution.marker for execution in self.executions() if execution.stage == BEGAN}

    def ended(self) -> set[int]:
        """Return the markers of which some execution came to its end."""
        return {execution.marker for execution in self.executions() if execution.stage == ENDED}

    def verdict(self, *, excused: Iterable[int] = ()) -> Verdict:
        """Compare; to be called once the queue has drained.

        Args:
            excused: Markers of acknowledged jobs that were not to be executed to their end, such as
                cancelled ones and those that ended in the dead letters.
        """
        executions = self.executions()
        ended = {execution.marker for execution in executions if execution.stage == ENDED}
        began = Counter(execution.marker for execution in executions if execution.stage == BEGAN)
        pairs = Counter(
            (execution.marker, execution.attempt)
            for execution in executions
            if execution.stage == BEGAN
        )
        acknowledged = set(self.acknowledged)
        unexpected = (set(began) | ended) - (self.attempted - self.refused)
        return Verdict(
            lost=frozenset(acknowledged - ended - set(excused)),
            unexpected=frozenset(unexpected),
            recovered=frozenset((ended & self.attempted) - acknowledged),
            duplicated={marker: count - 1 for marker, count in began.items() if count > 1},
            repeated=frozenset(pair for pair, count in pairs.items() if count > 1),
        )


@frozen(kw_only=True)
class Verdict:
    """What the comparison came to.

    Attributes:
        lost: Acknowledged and never executed to the end.
        unexpected: Executed though nobody asked for it, or though it was refused.
        recovered: Executed though the answer to its sender was lost: allowed, and good to know.
        duplicated: By marker, how many times more than once a job began.
        repeated: Pairs of marker and attempt that began more than once. A lost lease gives a job a
            new attempt; the same attempt twice means that two workers held it, or that a claim was
            taken back.
    """

    lost: frozenset[int]
    unexpected: frozenset[int]
    recovered: frozenset[int]
    duplicated: dict[int, int]
    repeated: frozenset[tuple[int, int]]

    def check(self, *, duplicates_allowed: int = 0, repeats_allowed: int = 0) -> None:
        """Fail unless nothing is lost or unexpected, and duplicates stay within their bound.

        Args:
            duplicates_allowed: What the injected crashes and lost leases can account for: each may
                double at most what its worker had in hand.
            repeats_allowed: How many attempts may have begun twice under one number, which only a
                claim that the database itself forgot or that was given back can account for.
        """
        assert not self.lost, f"acknowledged and never executed: {sorted(self.lost)}"
        assert not self.unexpected, f"executed and never asked for: {sorted(self.unexpected)}"
        doubled = sum(self.duplicated.values())
        assert doubled <= duplicates_allowed, (
            f"{doubled} executions too many, {duplicates_allowed} accounted for: {self.duplicated}"
        )
        assert len(self.repeated) <= repeats_allowed, (
            f"attempts that began twice: {sorted(self.repeated)}"
        )
