"""TaskForge for applications: define tasks, send jobs, run them in a worker.

The errors stand in `taskforge_client.errors`. Roads (HTTP, PostgreSQL), the event loop's thread
and the worker are loaded when they are first used.
"""

from taskforge_client.app import TaskForge
from taskforge_client.bulk import BulkFailure, BulkReceipt
from taskforge_client.context import CurrentJob, current_job
from taskforge_client.control import Bury, Cancel, RetryIn, Snooze
from taskforge_client.decorate import task
from taskforge_client.errors import TaskForgeError
from taskforge_client.handles import JobHandle
from taskforge_client.options import Unique
from taskforge_client.resources import Resource
from taskforge_client.retry import Retry
from taskforge_client.schedules import cron, every
from taskforge_client.task import AsyncTask, Invocation, SyncTask, Task

__all__ = [
    "AsyncTask",
    "BulkFailure",
    "BulkReceipt",
    "Bury",
    "Cancel",
    "CurrentJob",
    "Invocation",
    "JobHandle",
    "Resource",
    "Retry",
    "RetryIn",
    "Snooze",
    "SyncTask",
    "Task",
    "TaskForge",
    "TaskForgeError",
    "Unique",
    "cron",
    "current_job",
    "every",
    "task",
]
