"""The description of the service, made of the table that the router is made of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from pycontext.block import ContextType
from pycontext.service.http.body import Field
from pycontext.service.http.operation import Operation

__all__ = ["describe"]

# What any request may get that needs a key.
_OF_ALL: Final = (401, 403, 408, 500, 503, 504)

_SAYS: Final[Mapping[int, str]] = {
    200: "Done.",
    201: "Made.",
    204: "Gone.",
    400: "Something in the request is outside its limits.",
    401: "There is no key, or one that is not known.",
    403: "Not for callers.",
    404: "There is none, or none of yours.",
    408: "The body did not come in time.",
    409: "What is there is another, or newer.",
    413: "The body is too large.",
    415: "The body is not JSON in UTF-8.",
    422: "What must stay does not fit the budget.",
    500: "Our fault.",
    502: "The model or the agents gave no answer; the message is kept.",
    503: "Not now; try again after `Retry-After`.",
    504: "It took too long; what was said is kept.",
}

_TEXT: Final = {"type": "string"}
_WHOLE: Final = {"type": "integer"}
_TEXTS: Final = {"type": "object", "additionalProperties": _TEXT}

_KINDS: Final[Mapping[str, dict[str, Any]]] = {
    "string": _TEXT,
    "number": {"type": "number"},
    "integer": _WHOLE,
    "texts": _TEXTS,
    "strings": {"type": "array", "items": _TEXT},
}


def _object(properties: Mapping[str, Any], *optional: str) -> dict[str, Any]:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": dict(properties), "required": required, "additionalProperties": False}


_SCHEMAS: Final[dict[str, dict[str, Any]]] = {
    "Error": _object(
        {
            "error": _object(
                {"type": _TEXT, "message": _TEXT, "needed": _WHOLE, "available": _WHOLE}, "needed", "available"
            )
        }
    ),
    "Status": _object({"status": {"type": "string", "enum": ["alive", "ready"]}}),
    "Session": _object(
        {
            "session_id": _TEXT,
            "agent": _TEXT,
            "version": _WHOLE,
            "blocks": _WHOLE,
            "tokens": _WHOLE,
            "metrics": _object(
                {
                    "total_tokens": _WHOLE,
                    "context_saturation": {"type": "number"},
                    "type_distribution": {"type": "object", "additionalProperties": {"type": "number"}},
                }
            ),
        }
    ),
    "Reply": _object(
        {
            "session_id": _TEXT,
            "message_id": _TEXT,
            "agent": _TEXT,
            "text": _TEXT,
            "data": {"type": ["object", "null"]},
        }
    ),
    "Block": _object(
        {
            "id": _TEXT,
            "type": {"type": "string", "enum": list(ContextType.__members__)},
            "content": _TEXT,
            "relevance_score": {"type": "number", "minimum": 0, "maximum": 1},
            "metadata": _TEXTS,
            "timestamp": {"type": "integer", "description": "Milliseconds since the epoch."},
            "token_count": _WHOLE,
            "references": {"type": "array", "items": _TEXT},
            "origin": {"type": ["string", "null"], "description": "Whom it came from; null for the agents' own."},
        }
    ),
    "Blocks": _object(
        {
            "blocks": {"type": "array", "items": {"$ref": "#/components/schemas/Block"}},
            "next": {"type": ["string", "null"], "description": "`cursor` of the next page."},
        }
    ),
    "Prompt": _object(
        {
            "policy": _TEXT,
            "render": {"type": "string", "enum": ["openai", "text"]},
            "counter": _TEXT,
            "tokens": _WHOLE,
            "available": _WHOLE,
            "exact": {"type": "boolean"},
            "blocks": {
                "type": "array",
                "items": _object({"id": _TEXT, "reason": _TEXT, "detail": _TEXT, "tokens": _WHOLE}),
            },
            "messages": {"type": "array", "items": {"type": "object"}},
            "text": _TEXT,
        },
        "messages",
        "text",
    ),
    "Description": {"type": "object"},
    "Metrics": _TEXT,
}


def describe(operations: Iterable[Operation], version: str) -> dict[str, Any]:
    """Return the document of OpenAPI 3.1 for operations."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        path = re.sub(r":\w+\}", "}", operation.path)
        paths.setdefault(path, {})[operation.method.lower()] = _operation(operation, path)
    return {
        "openapi": "3.1.0",
        "info": {"title": "pycontext", "version": version, "license": {"name": "MIT", "identifier": "MIT"}},
        "paths": paths,
        "components": {
            "schemas": _SCHEMAS,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(operation: Operation, path: str) -> dict[str, Any]:
    refusals = {500, *operation.refusals, *(_OF_ALL if operation.access == "key" else ())}
    responses = {str(status): _response(status, name) for status, name in operation.answers.items()}
    responses |= {str(status): _response(status, "Error") for status in sorted(refusals)}
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.says,
        "security": [] if operation.access == "none" else [{"key": []}],
        "responses": responses,
    }
    in_path = [
        {"name": name, "in": "path", "required": True, "schema": _TEXT} for name in re.findall(r"\{(\w+)\}", path)
    ]
    in_query = [
        {"name": field.name, "in": "query", "required": field.is_required, "schema": _schema(field)}
        for field in operation.query
    ]
    if in_path or in_query:
        described["parameters"] = in_path + in_query
    if operation.body:
        needed = [field.name for field in operation.body if field.is_required]
        schema = {
            "type": "object",
            "properties": {field.name: _schema(field) for field in operation.body},
            "required": needed,
            "additionalProperties": False,
        }
        described["requestBody"] = {"required": bool(needed), "content": {"application/json": {"schema": schema}}}
    return described


def _schema(field: Field) -> dict[str, Any]:
    schema = {**_KINDS[field.kind], "description": field.says}
    bounds = {"enum": list(field.choices) or None, "minimum": field.least, "maximum": field.most}
    return schema | {name: value for name, value in bounds.items() if value is not None}


def _response(status: int, name: str) -> dict[str, Any]:
    response: dict[str, Any] = {"description": _SAYS[status]}
    if status == 503:
        response["headers"] = {"Retry-After": {"description": "Seconds.", "schema": _WHOLE}}
    if name:
        kind = "text/plain" if name == "Metrics" else "application/json"
        response["content"] = {kind: {"schema": {"$ref": f"#/components/schemas/{name}"}}}
    return response
