"""Models of OpenAI, and of servers that speak its chat completions API."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

from pycontext.agents.client import Answer
from pycontext.agents.openai_reply import OpenAIPieces, answer_of
from pycontext.agents.provider import OnText, ProviderClient

if TYPE_CHECKING:
    from openai import AsyncOpenAI

__all__ = ["OpenAIClient"]


class OpenAIClient(ProviderClient):
    """Asks a model through OpenAI's chat completions API; needs the extra `openai`.

    It tries once: put a `RetryingClient` around it.

    Args:
        model: its name, as the API lists it.
        client: an `AsyncOpenAI` of your own; None for one that is made with the first request. Yours keeps its own
            retries, and you close it.
        api_key: None for that of the environment, as the SDK reads it.
        base_url: of the API, for other servers that speak it; None for the SDK's.
        max_tokens: of an answer, sent as `max_completion_tokens`; a longer one is an error, never half an answer. None
            for the model's own limit.
        timeout_seconds: for a whole answer, from asking to its last piece.
        stream: True to have the answer in pieces; `generate` still returns it whole.
        on_text: is called with every piece of text, and awaited where it returns an awaitable. A stream that is tried
            again is heard again from the beginning.

    Raises:
        ImportError: the SDK is not installed.
        ValidationError: an argument is outside its limits.
    """

    provider: ClassVar = "openai"
    _own: ClassVar = ("messages", "stream")

    def __init__(
        self,
        model: str,
        *,
        client: AsyncOpenAI | Any = None,
        api_key: str | None = None,
        base_url: str | None = None,
        max_tokens: int | None = None,
        timeout_seconds: float = 60.0,
        stream: bool = False,
        on_text: OnText | None = None,
    ) -> None:
        super().__init__(
            model,
            client=client,
            api_key=api_key,
            base_url=base_url,
            max_tokens=max_tokens,
            timeout_seconds=timeout_seconds,
            stream=stream,
            on_text=on_text,
        )

    def _imported(self) -> ModuleType:
        try:
            import openai  # noqa: PLC0415  # an extra, and slow to import
        except ImportError as cause:
            text = "OpenAIClient needs the SDK of OpenAI: pip install 'pycontext-layer[openai]'"
            raise ImportError(text) from cause
        return openai

    def _make(self, **settings: Any) -> AsyncOpenAI:
        from openai import AsyncOpenAI  # noqa: PLC0415  # as above

        return AsyncOpenAI(**settings)

    def _request(self, messages: list[dict[str, Any]], options: dict[str, Any]) -> dict[str, Any]:
        request: dict[str, Any] = {"model": self.model, **options, "messages": messages}
        if self.max_tokens is not None and not {"max_tokens", "max_completion_tokens"} & options.keys():
            # Models that think refuse the older name.
            request["max_completion_tokens"] = self.max_tokens
        # Without it a stream does not say what it cost.
        return {"stream_options": {"include_usage": True}, **request} if self._stream else request

    async def _create(self, sdk: Any, request: dict[str, Any]) -> Any:
        return await sdk.chat.completions.create(**request)

    def _pieces(self) -> OpenAIPieces:
        return OpenAIPieces()

    def _read(self, reply: dict[str, Any]) -> Answer:
        return answer_of(reply)
