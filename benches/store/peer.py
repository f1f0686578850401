"""The other side of `peers`: another library in an environment of its own, without pycontext.

Reads commands from its input, one a line, does them, and answers with one line.
"""

from __future__ import annotations

import asyncio
import json
import sys
from importlib.metadata import version
from typing import Any, Protocol


class History(Protocol):
    """Messages of sessions."""

    packages: tuple[str, ...]

    def __init__(self, url: str) -> None: ...

    async def append(self, session: str, texts: list[str], *, at_once: bool) -> None: ...

    async def load(self, session: str) -> list[str]: ...

    async def clear(self, session: str) -> None: ...


class OpenaiAgents:
    packages = ("openai-agents", "redis")

    def __init__(self, url: str) -> None:
        from agents.extensions.memory import RedisSession  # noqa: PLC0415

        self._session = lambda name: RedisSession.from_url(name, url=url)
        self._open: dict[str, Any] = {}

    def _of(self, name: str) -> Any:
        if name not in self._open:
            self._open[name] = self._session(name)
        return self._open[name]

    async def append(self, session: str, texts: list[str], *, at_once: bool) -> None:
        items = [{"role": "user", "content": text} for text in texts]
        for part in [items] if at_once else [[item] for item in items]:
            await self._of(session).add_items(part)

    async def load(self, session: str) -> list[str]:
        return [item["content"] for item in await self._of(session).get_items()]

    async def clear(self, session: str) -> None:
        await self._of(session).clear_session()


class AgentFramework:
    packages = ("agent-framework-redis", "redis")

    def __init__(self, url: str) -> None:
        from agent_framework.redis import RedisHistoryProvider  # noqa: PLC0415

        self._provider = RedisHistoryProvider(redis_url=url, application_id="bench")

    async def append(self, session: str, texts: list[str], *, at_once: bool) -> None:
        from agent_framework import Message  # noqa: PLC0415

        items = [Message("user", [text]) for text in texts]
        for part in [items] if at_once else [[item] for item in items]:
            await self._provider.save_messages(session, part)

    async def load(self, session: str) -> list[str]:
        return [item.text for item in await self._provider.get_messages(session)]

    async def clear(self, session: str) -> None:
        await self._provider.clear(session)


KINDS: dict[str, type[History]] = {"openai_agents": OpenaiAgents, "agent_framework": AgentFramework}


async def answer(history: History, command: str, session: str, texts: list[str]) -> object:
    if command == "load":
        return await history.load(session)
    if command == "fill":
        await history.clear(session)
    await history.append(session, texts, at_once=command == "fill")
    return len(texts)


def main() -> None:
    kind, url = sys.argv[1:]
    history = KINDS[kind](url)
    loop = asyncio.new_event_loop()
    print(json.dumps(", ".join(f"{name} {version(name)}" for name in history.packages)), flush=True)
    for line in sys.stdin:
        command, session, *rest = json.loads(line)
        texts = rest[0] if rest else []
        print(json.dumps(loop.run_until_complete(answer(history, command, session, texts))), flush=True)


if __name__ == "__main__":
    main()
