import os
import subprocess
import sys

from benchmarks.processor_time import CpuMeter, Spent, tree_seconds

BUSY = (
    "import time, subprocess, sys\n"
    "began = time.process_time()\n"
    "while time.process_time() - began < 0.2: pass\n"
)


def test_a_child_that_has_ended_is_counted() -> None:
    meter = CpuMeter({})
    with meter.measure() as spent:
        subprocess.run([sys.executable, "-c", BUSY], check=True)
    assert spent.total_seconds > 0.15


def test_a_part_counts_once_and_with_its_descendants() -> None:
    grandchild = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BUSY!r}])"
    waiting = f"{grandchild}\nprint('done', flush=True)\nsys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", waiting], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        meter = CpuMeter({"part": [process.pid]})
        assert process.stdout is not None
        with meter.measure() as spent:
            process.stdout.readline()
        assert tree_seconds(process.pid) > 0.15
        process.communicate()
    assert spent.seconds["part"] > 0.15
    assert spent.seconds["client"] < spent.seconds["part"]


def test_a_tree_may_leave_branches_out() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", BUSY + "print('done', flush=True)\nsys.stdin.read()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        whole = tree_seconds(os.getpid())
        without = tree_seconds(os.getpid(), leaving_out=frozenset({process.pid}))
        process.communicate()
    assert whole - without > 0.15


def test_cpu_is_told_by_part_and_job() -> None:
    spent = Spent({"client": 0.5, "postgres": 1.0})
    assert spent.total_seconds == 1.5
    assert spent.per_job_us(100_000) == {"client_us": 5.0, "postgres_us": 10.0}
