"""The worker processes of a run, from the parent's side.

A worker process prints `ready` once everything is imported, waits for `go` on its standard input,
prints `ran N` as jobs run, and leaves in good order at `stop`. So its start costs no measured time.
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from attrs import define, field, frozen

from benchmarks.run_record import RAN, RECORD_VARIABLE, Runs

READY: Final = "ready"
GO: Final = "go"
STOP: Final = "stop"
READY_SECONDS: Final = 60.0
STALL_SECONDS: Final = 60.0
LEAVE_SECONDS: Final = 60.0
_REPOSITORY: Final = Path(__file__).resolve().parents[1]


class BenchmarkFailed(Exception):
    """A benchmark can't give a result; the message says why."""


@frozen(kw_only=True)
class Command:
    """A process to start: its words, and variables beside those of this process."""

    words: Sequence[str]
    environment: Mapping[str, str] = field(factory=dict)


def python_module(module: str, *arguments: str, **environment: str) -> Command:
    """Return the command that runs a module of ours with this interpreter."""
    return Command(words=[sys.executable, "-m", module, *arguments], environment=environment)


@define(eq=False)
class Member:
    """One worker process."""

    process: "subprocess.Popen[str]"
    record: Path | None
    changed: threading.Condition
    ran: int = 0
    is_ready: bool = False
    has_ended: bool = False

    def listen(self) -> None:
        """Take in what it prints until it ends; runs in a thread of its own."""
        assert self.process.stdout is not None  # noqa: S101 - it was started with a pipe
        for line in self.process.stdout:
            word, _, rest = line.strip().partition(" ")
            with self.changed:
                if word == READY:
                    self.is_ready = True
                elif word == RAN and rest.isdigit():
                    self.ran = int(rest)
                else:
                    sys.stderr.write(line)
                self.changed.notify_all()
        with self.changed:
            self.has_ended = True
            self.changed.notify_all()

    def tell(self, word: str) -> None:
        """Send it a word."""
        if self.process.stdin is not None and self.process.poll() is None:
            self.process.stdin.write(f"{word}\n")
            self.process.stdin.flush()


@define(eq=False)
class Crew:
    """Some worker processes of one kind, all ready and waiting."""

    members: list[Member]
    _changed: threading.Condition

    @property
    def pids(self) -> list[int]:
        """Their process ids."""
        return [member.process.pid for member in self.members]

    @property
    def ran(self) -> int:
        """How many jobs ran so far, all processes together, as of at most 20 ms ago."""
        return sum(member.ran for member in self.members)

    def go(self) -> None:
        """Let them begin."""
        for member in self.members:
            member.tell(GO)

    def wait_until_ran(self, count: int, *, stall_seconds: float = STALL_SECONDS) -> bool:
        """Wait until that many jobs ran; False when for so long none did.

        Raises:
            BenchmarkFailed: a process ended by itself.
        """
        seen, deadline = -1, 0.0
        with self._changed:
            while (ran := self.ran) < count:
                self._refuse_ended()
                now = time.monotonic()
                if ran > seen:
                    seen, deadline = ran, now + stall_seconds
                if now >= deadline:
                    return False
                self._changed.wait(deadline - now)
        return True

    def wait_until_ready(self) -> None:
        """Wait until all are ready.

        Raises:
            BenchmarkFailed: a process ended by itself or took longer than a minute.
        """
        deadline = time.monotonic() + READY_SECONDS
        with self._changed:
            while not all(member.is_ready for member in self.members):
                self._refuse_ended()
                left = deadline - time.monotonic()
                if left <= 0:
                    raise BenchmarkFailed(
                        f"a worker process was not ready in {READY_SECONDS:.0f} s"
                    )
                self._changed.wait(left)

    def stop(self) -> Runs:
        """Let them leave in good order and return what their tasks noted.

        Raises:
            BenchmarkFailed: one did not leave.
        """
        for member in self.members:
            member.tell(STOP)
        for member in self.members:
            try:
                member.process.wait(LEAVE_SECONDS)
            except subprocess.TimeoutExpired:
                raise BenchmarkFailed(
                    f"worker process {member.process.pid} did not leave in {LEAVE_SECONDS:.0f} s"
                ) from None
        return Runs.read([member.record for member in self.members if member.record is not None])

    def _refuse_ended(self) -> None:
        for member in self.members:
            if member.has_ended:
                code = member.process.wait()
                raise BenchmarkFailed(
                    f"worker process {member.process.pid} ended by itself with code {code}; "
                    "its last words stand above"
                )


@contextmanager
def start_crew(command: Command, size: int, *, recording: bool = True) -> Iterator[Crew]:
    """Start processes, wait until they are ready; whoever still runs in the end is killed.

    Args:
        command: What to start.
        size: How many.
        recording: Whether their tasks note every run; else they only count.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        changed = threading.Condition()
        crew = Crew([], changed)
        for place in range(size):
            record = folder / f"{place}.runs" if recording else None
            member = Member(_start(command, record), record, changed)
            stack.callback(_end, member)
            crew.members.append(member)
            threading.Thread(target=member.listen, daemon=True).start()
        crew.wait_until_ready()
        yield crew


def _start(command: Command, record: Path | None) -> "subprocess.Popen[str]":
    # The repository comes first, so that benchmarks and tasks are found from any folder.
    path = os.pathsep.join(filter(None, [str(_REPOSITORY), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, **command.environment}
    if record is not None:
        environment[RECORD_VARIABLE] = str(record)
    return subprocess.Popen(  # noqa: S603 - our own commands
        list(command.words),
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _end(member: Member) -> None:
    if member.process.poll() is None:
        member.process.kill()
    member.process.wait()
    for pipe in (member.process.stdin, member.process.stdout):
        if pipe is not None:
            pipe.close()
