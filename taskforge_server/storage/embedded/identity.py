"""Which user the embedded PostgreSQL runs as, for PostgreSQL refuses to run as root.

Decides only; it makes no users, changes no folder and starts nothing.
"""

from __future__ import annotations

import os
import pwd
import sys
from pathlib import Path

from attrs import frozen

from taskforge_server.storage.errors import EmbeddedPostgresError

_UNPRIVILEGED_NAMES = ("nobody", "daemon")


@frozen(kw_only=True)
class ServerIdentity:
    """The user under which `initdb` and `postgres` run.

    Attributes:
        uid: User id to change to before the programs start; None keeps the caller's.
        gid: Group id that goes with it; None keeps the caller's.
        initdb_name_uid: Uid that `initdb` shall believe to be, in a user namespace of its own,
            because the real one has no name in the system's user database; None when no such step
            is needed.
        server_name_uid: The same for `postgres`: only for a root that can become nobody else.
    """

    uid: int | None
    gid: int | None
    initdb_name_uid: int | None
    server_name_uid: int | None

    @property
    def changes_user(self) -> bool:
        """Whether the programs run as another user than the caller."""
        return self.uid is not None


def server_identity(*, cluster_owner_uid: int | None, run_as: str | int | None) -> ServerIdentity:
    """Decide whom the server runs as.

    The caller, unless that is root: then the owner of the existing cluster, else `run_as`, else
    `nobody`.

    Args:
        cluster_owner_uid: Owner of the cluster's folder, or None when there is none yet.
        run_as: User name or id that root asks for.

    Raises:
        EmbeddedPostgresError: `run_as` is unknown or root, or the machine has no unprivileged user.
    """
    own_uid = os.geteuid()
    if own_uid != 0:
        return ServerIdentity(
            uid=None,
            gid=None,
            initdb_name_uid=None if _has_name(own_uid) else _named_uid(),
            server_name_uid=None,
        )
    if run_as is None and cluster_owner_uid:
        uid, gid = cluster_owner_uid, _group_of(cluster_owner_uid)
    else:
        uid, gid = _asked_user(run_as)
    if not _is_mapped(uid):
        # Root of a user namespace that holds no other user: a nested namespace lends the name.
        return ServerIdentity(
            uid=None, gid=None, initdb_name_uid=_named_uid(), server_name_uid=_named_uid()
        )
    return ServerIdentity(
        uid=uid,
        gid=gid,
        initdb_name_uid=None if _has_name(uid) else _named_uid(),
        server_name_uid=None,
    )


def _asked_user(run_as: str | int | None) -> tuple[int, int]:
    if run_as is None:
        uid = _named_uid()
    elif isinstance(run_as, int):
        uid = run_as
    else:
        try:
            uid = pwd.getpwnam(run_as).pw_uid
        except KeyError:
            raise EmbeddedPostgresError(
                f"run_as: this machine has no user {run_as!r}; name an existing unprivileged user"
            ) from None
    if uid == 0:
        raise EmbeddedPostgresError(
            "run_as: PostgreSQL refuses to run as root; name an unprivileged user such as nobody"
        )
    return uid, _group_of(uid)


def _named_uid() -> int:
    for name in _UNPRIVILEGED_NAMES:
        try:
            return pwd.getpwnam(name).pw_uid
        except KeyError:
            continue
    for entry in pwd.getpwall():
        if entry.pw_uid != 0:
            return entry.pw_uid
    raise EmbeddedPostgresError(
        "the system's user database (/etc/passwd) has no unprivileged user to run PostgreSQL as; "
        "add one, or set TASKFORGE_DATABASE_URL to a server of your own"
    )


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _group_of(uid: int) -> int:
    try:
        return pwd.getpwuid(uid).pw_gid
    except KeyError:
        return uid


def _is_mapped(uid: int) -> bool:
    """Whether this process could become `uid` at all (on Linux; elsewhere it always could)."""
    if sys.platform != "linux":
        return True
    try:
        lines = Path("/proc/self/uid_map").read_text(encoding="ascii").splitlines()
    except OSError:
        return True
    ranges = [[int(number) for number in line.split()] for line in lines]
    return any(first <= uid < first + count for first, _outside, count in ranges)
