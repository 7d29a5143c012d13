"""One attempt to bring up a guard and, below it, PostgreSQL; waits until the server is ready.

It is given a data folder whose lock is held, and decides nothing about adopting or ports.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import subprocess
import sys
from typing import Any

from attrs import frozen

from taskforge_server.storage.embedded import guard
from taskforge_server.storage.embedded.binaries import Binaries
from taskforge_server.storage.embedded.folder import DataFolder, HeldLock
from taskforge_server.storage.embedded.identity import ServerIdentity
from taskforge_server.storage.embedded.postmaster import read_postmaster_file
from taskforge_server.storage.embedded.progress import Reporter, StartPhase
from taskforge_server.storage.errors import EmbeddedPostgresError

SUPERUSER = "postgres"
_DISK_FULL = re.compile(r"No space left|[Ff]ree disk space")
STOP_SECONDS = 60.0
"""How long a fast shutdown may take before an immediate one follows."""


@frozen(kw_only=True)
class Launch:
    """One attempt to bring up a guard with its server."""

    folder: DataFolder
    identity: ServerIdentity
    binaries: Binaries
    settings: dict[str, str]
    reporter: Reporter

    def run(self, guard_lock: HeldLock) -> EmbeddedPostgresError | None:
        """Start it and wait until it is ready; the error when it ended instead."""
        specification = self._specification()
        with self.folder.empty_start_log() as log:
            process = subprocess.Popen(  # noqa: S603  our own interpreter and our own script
                [sys.executable, "-I", "-S", guard.__file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd="/",
                pass_fds=[guard_lock.descriptor],
                start_new_session=True,
            )
        assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018
        with process.stdout:
            with contextlib.suppress(BrokenPipeError), process.stdin:
                process.stdin.write(json.dumps(specification).encode())
            process.wait()  # what was started here only made the guard its child and ended
            return self._wait_ready(process, creating=bool(specification["initdb"]))

    def _wait_ready(
        self, process: subprocess.Popen[bytes], *, creating: bool
    ) -> EmbeddedPostgresError | None:
        assert process.stdout is not None  # noqa: S101
        phase = StartPhase.CREATING if creating else StartPhase.STARTING
        failed: dict[str, Any] = {}
        while True:
            self.reporter.tell(phase)
            if select.select([process.stdout], [], [], 0.005)[0]:
                line = process.stdout.readline()
                if not line:
                    return self._failure(failed)
                event = json.loads(line)
                if event["event"] == "started":
                    phase = StartPhase.STARTING
                else:
                    failed = event
            noted = read_postmaster_file(self.folder.cluster)
            if noted is not None and noted.status == "ready":
                return None

    def _failure(self, event: dict[str, Any]) -> EmbeddedPostgresError:
        said = event.get("said") or self.folder.recent_log()
        step = "initdb" if event.get("step") == "initdb" else "PostgreSQL"
        statistics = os.statvfs(self.folder.path)
        advice = ""
        if _DISK_FULL.search(said) or statistics.f_bavail * statistics.f_frsize < 1 << 20:
            advice = "; the disk is full: free some space and start again"
        elif "user does not exist" in said:
            advice = (
                "; this user id has no name in /etc/passwd, which initdb needs: add one, "
                "or set TASKFORGE_DATABASE_URL"
            )
        return EmbeddedPostgresError(
            f"{step} in {self.folder.path} did not start{advice}; it said:\n{said}"
        )

    def _specification(self) -> dict[str, Any]:
        folder, identity = self.folder, self.identity
        create = not folder.cluster.exists()
        if create:
            folder.prepare_new_cluster(identity.uid, identity.gid)
        # Root's folders need not be enterable for the server's user: it is handed the cluster's
        # folder open, and the name of that descriptor leads there without walking the parents.
        by_descriptor = identity.changes_user and sys.platform == "linux"
        return {
            "cluster": str(folder.cluster),
            "new_cluster": str(folder.new_cluster),
            "users": str(folder.users),
            "lock": str(folder.lock_path),
            "uid": identity.uid,
            "gid": identity.gid,
            "initdb_name_uid": identity.initdb_name_uid,
            "server_name_uid": identity.server_name_uid,
            "environment": self.binaries.environment(),
            "password": folder.password(),
            "stop_seconds": STOP_SECONDS,
            "by_descriptor": by_descriptor,
            "initdb": self._initdb() if create else None,
            "postgres": [
                str(self.binaries.directory / "postgres"),
                *(f"--{name}={value}" for name, value in self.settings.items()),
            ],
        }

    def _initdb(self) -> list[str]:
        builtin_locale = self.binaries.major >= 17  # noqa: PLR2004  first to have its own C.UTF-8
        return [
            str(self.binaries.directory / "initdb"),
            f"--username={SUPERUSER}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--data-checksums",
            "--no-instructions",
            *(
                ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
                if builtin_locale
                else ["--locale=C.UTF-8"]
            ),
        ]
