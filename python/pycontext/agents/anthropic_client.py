"""Models of Anthropic."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

from pycontext.agents.anthropic_reply import AnthropicPieces, answer_of
from pycontext.agents.anthropic_request import choice_of, messages_of, tools_of
from pycontext.agents.client import Answer
from pycontext.agents.provider import OnText, ProviderClient

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

__all__ = ["AnthropicClient"]


class AnthropicClient(ProviderClient):
    """Asks a model of Anthropic through its messages API; needs the extra `anthropic`.

    Messages, `tools` and `tool_choice` may be in OpenAI's form: they are translated. Other options are the API's own,
    which has no `temperature`, `top_p` and `top_k` any more. It tries once: put a `RetryingClient` around it.

    Args:
        model: its name, as the API lists it.
        client: an `AsyncAnthropic` of your own, or what takes its place for a cloud; None for one that is made with the
            first request. Yours keeps its own retries, and you close it.
        api_key: None for that of the environment, as the SDK reads it.
        base_url: of the API; None for the SDK's.
        max_tokens: of an answer; a longer one is an error, never half an answer.
        timeout_seconds: for a whole answer, from asking to its last piece.
        stream: True to have the answer in pieces; `generate` still returns it whole.
        on_text: is called with every piece of text, and awaited where it returns an awaitable. A stream that is tried
            again is heard again from the beginning.

    Raises:
        ImportError: the SDK is not installed.
        ValidationError: an argument is outside its limits.
    """

    provider: ClassVar = "anthropic"
    _own: ClassVar = ("messages", "stream", "system")

    def __init__(
        self,
        model: str,
        *,
        client: AsyncAnthropic | Any = None,
        api_key: str | None = None,
        base_url: str | None = None,
        max_tokens: int = 1024,
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
            import anthropic  # noqa: PLC0415  # an extra, and slow to import
        except ImportError as cause:
            text = "AnthropicClient needs the SDK of Anthropic: pip install 'pycontext-layer[anthropic]'"
            raise ImportError(text) from cause
        return anthropic

    def _make(self, **settings: Any) -> AsyncAnthropic:
        from anthropic import AnthropicError, AsyncAnthropic  # noqa: PLC0415  # as above

        made = AsyncAnthropic(**settings)
        if made.api_key is None and made.auth_token is None and made.credentials is None:
            # The SDK would raise a TypeError with the first request.
            raise AnthropicError("there is no key: give api_key, or set ANTHROPIC_API_KEY")
        return made

    def _request(self, messages: list[dict[str, Any]], options: dict[str, Any]) -> dict[str, Any]:
        request = {"model": self.model, "max_tokens": self.max_tokens, **options, **messages_of(messages)}
        if options.get("tools") is not None:
            request["tools"] = tools_of(options["tools"])
        if "tool_choice" in options:
            request["tool_choice"] = choice_of(options["tool_choice"])
        return request

    async def _create(self, sdk: Any, request: dict[str, Any]) -> Any:
        return await sdk.messages.create(**request)

    def _pieces(self) -> AnthropicPieces:
        return AnthropicPieces()

    def _read(self, reply: dict[str, Any]) -> Answer:
        return answer_of(reply)
