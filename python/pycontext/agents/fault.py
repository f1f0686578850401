"""What becomes of the errors of a provider's SDK."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from types import ModuleType
from typing import Any, Final

from pycontext.errors import LLMError, LLMRefusedError, LLMTimeoutError, LLMUnavailableError, shown

__all__ = ["Faults", "retry_after"]

_WIDTH: Final = 200
# Nobody means more by asking to wait than a year.
_MOST_WAIT_SECONDS: Final = 31_536_000.0
# Besides 500 and above: a request that took too long, a lock, a limit of the rate.
_MAY_PASS: Final = (408, 409, 429)
# A stream that has begun has status 200 whatever comes, and the SDKs raise its errors without one.
_STATUS_OF_KIND: Final = {
    "api_error": 500,
    "authentication_error": 401,
    "billing_error": 402,
    "context_length_exceeded": 400,
    "insufficient_quota": 402,
    "invalid_request_error": 400,
    "not_found_error": 404,
    "overloaded_error": 529,
    "permission_error": 403,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "request_too_large": 413,
    "requests": 429,
    "server_error": 500,
    "timeout_error": 504,
    "tokens": 429,
}
# OpenAI says 429 where an account has no money, and waiting brings none.
_NEVER_PASSES: Final = ("insufficient_quota", "billing_error")
# OpenAI repeats a part of a key that it does not know.
_KEYS: Final = re.compile(r"\b(?:sk|pk|key)-[^\s'\"]+")


class Faults:
    """Turns the errors of one SDK into ours, without the secrets that its client holds.

    Args:
        provider: its name in messages.
        sdk: the module, `anthropic` or `openai`: both name their errors alike.
        secrets: returns what no message may hold; asked when there is an error, because a client learns its key late.
    """

    def __init__(self, provider: str, sdk: ModuleType, secrets: Callable[[], Collection[str]]) -> None:
        import httpx2  # noqa: PLC0415  # comes with either SDK

        self._provider: Final = provider
        self._sdk: Final[Any] = sdk
        self._secrets: Final = secrets
        self._of_wire: Final = (httpx2.HTTPError, httpx2.StreamError)
        self._timeout: Final = httpx2.TimeoutException
        self._of_request: Final = (httpx2.UnsupportedProtocol, httpx2.LocalProtocolError, httpx2.InvalidURL)
        self._root: Final[Any] = getattr(sdk, "AnthropicError", None) or sdk.OpenAIError

    @contextmanager
    def mapped(self) -> Iterator[None]:
        """Turn what the SDK raises inside into an `LLMError`; bugs and cancellation pass as they are."""
        # Anthropic's streams do not wrap the errors of the connection, and neither SDK wraps those of JSON and UTF-8.
        try:
            yield
        except (self._root, *self._of_wire, json.JSONDecodeError, UnicodeDecodeError) as error:
            raise self._ours(error) from self._cause(error)

    def _ours(self, error: Exception) -> LLMError:
        sdk, is_sdks = self._sdk, isinstance(error, self._root)
        if isinstance(error, (sdk.APITimeoutError, self._timeout)):
            return LLMTimeoutError(f"{self._provider} did not answer in time")
        if isinstance(error, sdk.APIConnectionError):
            cause = error.__cause__
            if isinstance(cause, self._of_request):
                return LLMRefusedError(f"{self._provider} cannot be asked: {type(cause).__name__} in our own request")
            return LLMUnavailableError(f"{self._provider} does not answer: {type(cause or error).__name__}")
        if is_sdks and not isinstance(error, sdk.APIError):
            return LLMRefusedError(f"{self._provider} cannot be asked: {self._shown(str(error))}")
        if is_sdks and not isinstance(error, sdk.APIResponseValidationError):
            return self._told(error)
        how = "broke off its answer" if isinstance(error, self._of_wire) else "answers with what is none"
        return LLMUnavailableError(f"{self._provider} {how}: {type(error).__name__}")

    def _told(self, error: Any) -> LLMError:
        """What an answer becomes that says why there is none, in its status or in its stream."""
        kinds, message = _reasons(error.body)
        headers = error.response.headers if isinstance(error, self._sdk.APIStatusError) else {}
        status = error.status_code if isinstance(error, self._sdk.APIStatusError) else 0
        if status < 400:
            status = next((_STATUS_OF_KIND[kind] for kind in kinds if kind in _STATUS_OF_KIND), _number(kinds))
        said = f": {self._shown(message)}" if message else ""
        if _may_pass(status, kinds, headers):
            how = f"cannot answer now, status {status}" if status else "broke off its answer"
            return LLMUnavailableError(f"{self._provider} {how}{said}", retry_after(headers, time.time()))
        return LLMRefusedError(f"{self._provider} refuses the request with status {status}{said}")

    def _shown(self, text: str) -> str:
        for secret in self._secrets():
            text = text.replace(secret, "<key>")
        return shown(_KEYS.sub("<key>", text), _WIDTH)

    def _cause(self, error: Exception) -> Exception | None:
        """The error itself, unless a traceback that goes down to its roots would show a secret."""
        secrets = self._secrets()
        seen: BaseException | None = error
        while seen is not None:
            if any(secret in str(seen) for secret in secrets):
                return None
            seen = seen.__cause__ or seen.__context__
        return error


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return how many seconds the provider asks to wait, None where it does not say.

    Args:
        headers: of the answer; `retry-after-ms` goes before `retry-after`, which has seconds or a date.
        now: seconds since the epoch, for a date.
    """
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * unit
        except ValueError:
            continue
        if math.isfinite(seconds) and seconds >= 0:
            return min(seconds, _MOST_WAIT_SECONDS)
    try:
        date = parsedate_to_datetime(headers.get("retry-after", ""))
        return min(max(date.timestamp() - now, 0.0), _MOST_WAIT_SECONDS)
    except (ValueError, OverflowError):
        return None


def _may_pass(status: int, kinds: Collection[str], headers: Mapping[str, str]) -> bool:
    """Whether the same request may be answered later."""
    asked = headers.get("x-should-retry")
    if asked in ("true", "false"):
        return asked == "true"
    if any(kind in _NEVER_PASSES for kind in kinds):
        return False
    # A stream that breaks off for a reason nobody knows is taken for one that broke.
    return status in _MAY_PASS or status >= 500 or not status


def _reasons(body: object) -> tuple[list[str], str]:
    """The kinds that the body of an error names, and its sentence."""
    inner = body.get("error", body) if isinstance(body, dict) else body
    if not isinstance(inner, dict):
        return [], inner if isinstance(inner, str) else ""
    kinds = [str(inner[key]) for key in ("code", "type") if inner.get(key) is not None]
    message = inner.get("message")
    return kinds, message if isinstance(message, str) else ""


def _number(kinds: Collection[str]) -> int:
    """The status among the kinds, which servers that speak OpenAI's API put there; 0 where there is none."""
    numbers = (int(kind) for kind in kinds if kind.isascii() and kind.isdigit() and len(kind) == 3)
    return next((number for number in numbers if number >= 400), 0)
