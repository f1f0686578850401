"""Names of models, and what is known of their tokenizers."""

from __future__ import annotations

from typing import Final

__all__ = ["FAMILIES", "encoding_of", "family_of"]

# As in tiktoken 0.14, where it names an encoding that is in the wheel; o200k_harmony is o200k_base for text.
_NAMES: Final = {
    "o1": "o200k_base",
    "o3": "o200k_base",
    "o4-mini": "o200k_base",
    "gpt-5": "o200k_base",
    "gpt-4.1": "o200k_base",
    "gpt-4o": "o200k_base",
    "gpt-4": "cl100k_base",
    "gpt-3.5-turbo": "cl100k_base",
    "gpt-3.5": "cl100k_base",
    "gpt-35-turbo": "cl100k_base",
    "davinci-002": "cl100k_base",
    "babbage-002": "cl100k_base",
    "text-embedding-ada-002": "cl100k_base",
    "text-embedding-3-small": "cl100k_base",
    "text-embedding-3-large": "cl100k_base",
    "o200k_harmony": "o200k_base",
}
_PREFIXES: Final = {
    "o1-": "o200k_base",
    "o3-": "o200k_base",
    "o4-mini-": "o200k_base",
    "gpt-5": "o200k_base",
    "gpt-4.5-": "o200k_base",
    "gpt-4.1-": "o200k_base",
    "chatgpt-4o-": "o200k_base",
    "gpt-4o-": "o200k_base",
    "gpt-4-": "cl100k_base",
    "gpt-3.5-turbo-": "cl100k_base",
    "gpt-35-turbo-": "cl100k_base",
    "gpt-oss-": "o200k_base",
    "ft:gpt-4o": "o200k_base",
    "ft:gpt-4": "cl100k_base",
    "ft:gpt-3.5-turbo": "cl100k_base",
    "ft:davinci-002": "cl100k_base",
    "ft:babbage-002": "cl100k_base",
}

# Families of models without a public tokenizer, and the tokens assumed for one of o200k_base. These are cautious
# assumptions, not measurements: `EstimateCounter.calibrate` makes a measurement of them.
FAMILIES: Final = {"claude": 1.3, "gemini": 1.2}


def encoding_of(model: str) -> str | None:
    """The encoding of a model, by its name or the beginning of it."""
    if model in _NAMES:
        return _NAMES[model]
    return next((encoding for prefix, encoding in _PREFIXES.items() if model.startswith(prefix)), None)


def family_of(model: str) -> str | None:
    """The family of a model without a public tokenizer."""
    return next((family for family in FAMILIES if model == family or model.startswith(f"{family}-")), None)
