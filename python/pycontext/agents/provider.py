"""A model behind the SDK of its provider."""

from __future__ import annotations

import asyncio
import inspect
import re
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection
from types import ModuleType
from typing import Any, ClassVar, Final, Protocol, Self

from pycontext.agents.client import Answer, Prompt
from pycontext.agents.fault import Faults
from pycontext.agents.reply import as_json
from pycontext.agents.seconds import check_seconds
from pycontext.budget import check_tokens
from pycontext.errors import LLMTimeoutError, ValidationError, shown

__all__ = ["OnText", "Pieces", "ProviderClient"]

OnText = Callable[[str], Awaitable[None] | None]

# What a header can carry: anything else, such as the end of the line of a file, fails in an error that shows the key.
_KEY: Final = re.compile(r"[!-~]+")
_SHORTEST_SECRET: Final = 8
_SECRETS: Final = ("api_key", "auth_token", "admin_api_key")


class Pieces(Protocol):
    """Puts a stream together."""

    def add(self, event: dict[str, Any], /) -> str:
        """Take one event and return the text in it."""
        ...

    def whole(self) -> dict[str, Any]:
        """Return what the provider would have answered without a stream.

        Raises:
            LLMUnavailableError: the end is missing.
        """
        ...


class ProviderClient(ABC):
    """What the clients of all providers do alike; see `AnthropicClient` and `OpenAIClient`."""

    provider: ClassVar[str]
    # Options that `generate` sets itself.
    _own: ClassVar[Collection[str]]

    def __init__(
        self,
        model: str,
        *,
        client: Any,
        api_key: str | None,
        base_url: str | None,
        max_tokens: int | None,
        timeout_seconds: float,
        stream: bool,
        on_text: OnText | None,
    ) -> None:
        if not isinstance(model, str) or not model.strip():
            raise ValidationError(f"model {shown(model)} is not the name of a model")
        if client is not None and (api_key is not None or base_url is not None):
            raise ValidationError("api_key and base_url are for a client made here, and there is one already")
        if api_key is not None and not (isinstance(api_key, str) and _KEY.fullmatch(api_key)):
            # Not shown: most of it is a secret.
            raise ValidationError("api_key is not of printable ASCII characters without spaces")
        if base_url is not None and not isinstance(base_url, str):
            raise ValidationError(f"base_url {shown(base_url)} is {type(base_url).__name__}, not str")
        if max_tokens is not None:
            check_tokens("max_tokens", max_tokens, least=1)
        check_seconds("timeout_seconds", timeout_seconds)
        if not isinstance(stream, bool):
            raise ValidationError(f"stream {shown(stream)} is neither True nor False")
        if on_text is not None and not (stream and callable(on_text)):
            raise ValidationError(f"on_text {shown(on_text)} is no function, or stream is not True")
        self.model: Final = model
        self.max_tokens: Final = max_tokens
        self.timeout_seconds: Final = timeout_seconds
        self._api_key: Final = api_key
        self._base_url: Final = base_url
        self._stream: Final = stream
        self._on_text: Final = on_text
        self._given: Final[Any] = client
        self._made: Any = None
        self._faults: Final = Faults(self.provider, self._imported(), self._secrets)

    async def generate(self, prompt: Prompt, **options: Any) -> Answer:
        """Return the model's answer, which is whole.

        Args:
            prompt: chat messages in OpenAI's form, or the text of one user message.
            options: the provider's own, as its SDK takes them, such as `tools`; `model` and `max_tokens` go before
                those of the client.

        Raises:
            LLMTimeoutError: there was no whole answer within `timeout_seconds`.
            LLMUnavailableError: the provider does not answer, is overloaded, limits our rate, or broke off its answer.
            LLMRefusedError: it refuses the request, or us.
            AnswerError: the answer was cut, refused or is empty.
            ValidationError: the prompt is none, or an option is one that is set here.
            TypeError: the SDK does not know an option.
        """
        taken = sorted(set(options) & set(self._own))
        if taken:
            raise ValidationError(f"option {taken[0]} is set by {type(self).__name__}, not by its caller")
        request = self._request(_messages(prompt), options)
        # The time-out of the SDK starts anew with every byte: a stream that trickles would never end.
        try:
            async with asyncio.timeout(self.timeout_seconds) as limit:
                return self._read(await self._asked(request))
        except TimeoutError as error:
            if limit.expired() and not isinstance(error, LLMTimeoutError):
                text = f"{self.provider} did not answer within {self.timeout_seconds:g} s"
                raise LLMTimeoutError(text) from error
            raise

    async def aclose(self) -> None:
        """Close the connections, unless the client was given; the next request opens new ones.

        Connections belong to one event loop: close before it ends.
        """
        made, self._made = self._made, None
        if made is not None:
            await made.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _asked(self, request: dict[str, Any]) -> dict[str, Any]:
        """The provider's answer as JSON, whole."""
        timed = {"timeout": self.timeout_seconds, **request}
        if not self._stream:
            with self._faults.mapped():
                return as_json(await self._create(self._sdk(), timed))
        pieces = self._pieces()
        with self._faults.mapped():
            stream = await self._create(self._sdk(), {**timed, "stream": True})
        # Closes the connection however this ends.
        async with stream:
            while True:
                with self._faults.mapped():
                    event = await anext(stream, None)
                if event is None:
                    return pieces.whole()
                text = pieces.add(as_json(event))
                if text and self._on_text is not None:
                    heard = self._on_text(text)
                    if inspect.isawaitable(heard):
                        await heard

    def _sdk(self) -> Any:
        if self._given is not None:
            return self._given
        if self._made is None:
            # Retries are ours alone: two layers of them multiply.
            self._made = self._make(
                api_key=self._api_key, base_url=self._base_url, timeout=self.timeout_seconds, max_retries=0
            )
        return self._made

    def _secrets(self) -> set[str]:
        """What no message may hold, piece by piece: an error repeats a key with its line ends escaped."""
        sdk = self._made if self._given is None else self._given
        values = [self._api_key, *(getattr(sdk, name, None) for name in _SECRETS)]
        pieces = {piece for value in values if isinstance(value, str) for piece in value.split()}
        # A word such as "none", for a server that wants any key, would be found in every other sentence.
        return {piece for piece in pieces if len(piece) >= _SHORTEST_SECRET}

    @abstractmethod
    def _imported(self) -> ModuleType:
        """The SDK.

        Raises:
            ImportError: it is not installed; the error names the extra.
        """

    @abstractmethod
    def _make(self, **settings: Any) -> Any:
        """A client of the SDK."""

    @abstractmethod
    def _request(self, messages: list[dict[str, Any]], options: dict[str, Any]) -> dict[str, Any]:
        """What the SDK is asked with."""

    @abstractmethod
    async def _create(self, sdk: Any, request: dict[str, Any]) -> Any:
        """Ask the SDK."""

    @abstractmethod
    def _pieces(self) -> Pieces:
        """What puts a stream together."""

    @abstractmethod
    def _read(self, reply: dict[str, Any]) -> Answer:
        """The answer in the provider's JSON."""


def _messages(prompt: Any) -> list[dict[str, Any]]:
    if isinstance(prompt, str):
        prompt = [{"role": "user", "content": str(prompt)}]
    if not isinstance(prompt, list) or not prompt:
        raise ValidationError(f"prompt {shown(prompt)} is neither text nor a list of messages")
    return prompt
