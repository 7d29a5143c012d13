"""A `taskforge dev` in a process of its own, read line by line, ended by Ctrl-C."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import psutil
from attrs import define, field

from tests.support.commands import TASKFORGE, clean_environment
from tests.support.polling import wait_until

_URL = re.compile(r"answers at (http://\S+)")
_PATIENCE_SECONDS = 60.0


@define
class Development:
    """A running command; `output` grows while it runs. With a terminal it draws its live view."""

    arguments: tuple[str, ...]
    folder: Path
    settings: Mapping[str, str] = field(factory=dict)
    terminal: bool = False
    output: str = field(init=False, default="")
    _process: subprocess.Popen[bytes] | None = field(init=False, default=None)
    _reader: threading.Thread | None = field(init=False, default=None)
    _tree: list[psutil.Process] = field(init=False, factory=list)

    def __enter__(self) -> Self:
        environment = clean_environment(self.settings)
        if self.terminal:
            reading, writing = pty.openpty()
            environment |= {"TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
            environment.pop("NO_COLOR")
        else:
            reading, writing = os.pipe()
        self._process = subprocess.Popen(
            [*TASKFORGE, *self.arguments],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=writing,
            stderr=writing,
            start_new_session=True,
        )
        os.close(writing)
        self._reader = threading.Thread(target=self._read, args=(reading,), daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def process_id(self) -> int:
        """Of the command itself."""
        assert self._process is not None
        return self._process.pid

    def url(self) -> str:
        """Wait until it answers, and return where."""
        found = wait_until(lambda: _URL.search(self.output) or self._ended(), _PATIENCE_SECONDS)
        assert isinstance(found, re.Match), self.output
        return found[1]

    def wait_for(self, text: str) -> None:
        """Wait until it has printed this."""
        wait_until(lambda: text in self.output or self._ended(), _PATIENCE_SECONDS)
        assert text in self.output, self.output

    def interrupt(self) -> int:
        """End it as Ctrl-C does, wait, and return its exit code."""
        assert self._process is not None
        self._remember_tree()
        self._process.send_signal(signal.SIGINT)
        code = self._process.wait(timeout=_PATIENCE_SECONDS)
        assert self._reader is not None
        self._reader.join(timeout=10)
        return code

    def left_running(self) -> list[str]:
        """Return the processes of the tree that outlived it by more than a moment."""

        def alive() -> list[psutil.Process]:
            return [one for one in self._tree if one.is_running()]

        try:
            wait_until(lambda: not alive(), 15)
        except AssertionError:
            return [" ".join(one.cmdline()) for one in alive()]
        return []

    def kill(self) -> None:
        """End it at once, if it still runs."""
        if self._process is not None and self._process.poll() is None:
            self._remember_tree()
            self._process.kill()
            self._process.wait()

    def _remember_tree(self) -> None:
        assert self._process is not None
        try:
            self._tree = psutil.Process(self._process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            self._tree = []

    def _ended(self) -> bool:
        assert self._process is not None
        return self._process.poll() is not None

    def _read(self, reading: int) -> None:
        decoded = os.fdopen(reading, "rb", buffering=0)
        with decoded:
            while True:
                try:
                    data = decoded.read(65_536)
                except OSError:  # a terminal whose other side is closed
                    return
                if not data:
                    return
                self.output += data.decode(errors="replace")
