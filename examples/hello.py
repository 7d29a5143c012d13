"""The smallest whole thing: `taskforge dev examples.hello:app`, then `python -m examples.hello`."""

import asyncio

from taskforge_client import Retry, TaskForge, current_job

app = TaskForge()


@app.task(queue="greetings", retry=Retry.exponential(attempts=5, first=0.2), timeout=30)
async def greet(name: str, *, language: str = "en") -> str:
    """Greet somebody, at the second attempt only."""
    await asyncio.sleep(0.1)
    if current_job().attempt == 1:
        raise ConnectionError("the greeting service is not awake yet")
    return {"en": f"Hello, {name}!", "id": f"Halo, {name}!"}[language]


if __name__ == "__main__":
    handle = greet.enqueue("Wati", language="id")
    print(f"{handle.id} is on its way …")
    print(handle.result(timeout=30))
