"""The description of the service is that of what it does."""

from __future__ import annotations

import asyncio
import re

import httpx
from hypothesis import given, settings
from hypothesis import strategies as st

from models import Echo
from pycontext.service.http.app import OPERATIONS, make_app
from with_service import KEY, coordinator_of


def client_of(app):
    transport = httpx.ASGITransport(app)
    return httpx.AsyncClient(
        transport=transport, base_url="http://localhost", headers={"Authorization": f"Bearer {KEY}"}
    )


def app_of(**options):
    return make_app(coordinator_of(Echo(), store="memory://"), api_keys={KEY: "default"}, **options)


async def described(client):
    return (await client.get("/openapi.json")).json()


TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
    "integer": int,
    "number": (int, float),
}


def faults(value, schema, document, at="$"):
    """Where a value is not what a schema says, in the words of the schema that the service uses."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if not any(isinstance(value, TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool)) for kind in kinds):
        return [f"{at} is no {kinds}"]
    found = [f"{at} is none of {schema['enum']}"] if value not in schema.get("enum", [value]) else []
    if isinstance(value, dict):
        properties, others = schema.get("properties", {}), schema.get("additionalProperties", True)
        found += [f"{at}.{name} is missing" for name in schema.get("required", ()) if name not in value]
        for name, one in value.items():
            if name in properties:
                found += faults(one, properties[name], document, f"{at}.{name}")
            elif others is False:
                found.append(f"{at}.{name} is not described")
            elif isinstance(others, dict):
                found += faults(one, others, document, f"{at}.{name}")
    if isinstance(value, list) and "items" in schema:
        found += [fault for one in value for fault in faults(one, schema["items"], document, f"{at}[]")]
    return found


def check(document, method, template, response):
    """The status is one that is described, and the body is what is described for it."""
    responses = document["paths"][template][method.lower()]["responses"]
    assert str(response.status_code) in responses, (method, template, response.status_code, response.text)
    content = responses[str(response.status_code)].get("content", {})
    if "application/json" in content:
        assert faults(response.json(), content["application/json"]["schema"], document) == []
    else:
        assert response.status_code == 204
        assert response.content == b""


def test_every_route_is_described_and_nothing_else():
    async def read():
        app = app_of()
        async with client_of(app) as client:
            document = await described(client)
        in_router = {re.sub(r":\w+", "", route.path) for route in app.routes}
        assert in_router == set(document["paths"])
        pairs = {(method, path) for path, operations in document["paths"].items() for method in operations}
        assert pairs == {(one.method.lower(), re.sub(r":\w+", "", one.path)) for one in OPERATIONS}
        names = [one["operationId"] for path in document["paths"].values() for one in path.values()]
        assert len(set(names)) == len(names) == len(OPERATIONS)
        for path, operations in document["paths"].items():
            for operation in operations.values():
                in_path = [one["name"] for one in operation.get("parameters", ()) if one["in"] == "path"]
                assert in_path == re.findall(r"\{(\w+)\}", path)
                # Whatever is pointed at is there.
                for response in operation["responses"].values():
                    for content in response.get("content", {}).values():
                        assert content["schema"]["$ref"].rpartition("/")[2] in document["components"]["schemas"]

    asyncio.run(read())


def test_a_method_that_is_not_described_is_refused():
    async def ask():
        async with client_of(app_of()) as client:
            document = await described(client)
            for path, operations in document["paths"].items():
                for method in {"get", "post", "put", "patch", "delete", "options"} - set(operations):
                    response = await client.request(method, re.sub(r"\{\w+\}", "x", path))
                    assert response.status_code == 405, (method, path)
                    assert response.headers["allow"] == ", ".join(sorted(name.upper() for name in operations))

    asyncio.run(ask())


def test_what_is_required_is_required_and_what_is_not_known_is_refused():
    async def ask():
        async with client_of(app_of()) as client:
            document = await described(client)
            await client.post("/v1/sessions", json={"session_id": "x"})
            for path, operations in document["paths"].items():
                url = re.sub(r"\{\w+\}", "x", path)
                if path.startswith("/v1"):
                    for method in operations:
                        assert (await client.request(method, url, params={"nope": 1})).status_code == 400
                body = operations.get("post", {}).get("requestBody")
                if body is None:
                    continue
                schema = body["content"]["application/json"]["schema"]
                assert body["required"] is bool(schema["required"])
                for name in schema["required"]:
                    refused = await client.post(url, json={})
                    assert refused.status_code == 400
                    assert name in refused.json()["error"]["message"] or len(schema["required"]) > 1
                assert (await client.post(url, json={"nope": 1})).status_code == 400

    asyncio.run(ask())


def test_what_is_answered_is_what_is_described():
    session = "/v1/sessions/{session_id}"
    walk = [
        ("POST", "/v1/sessions", {"session_id": "s"}, 201),
        ("POST", "/v1/sessions", {"session_id": "s"}, 409),
        ("POST", "/v1/sessions", {"session_id": "~"}, 400),
        ("GET", session, None, 200),
        ("POST", f"{session}/messages", {"message": "hi", "message_id": "b"}, 200),
        ("POST", f"{session}/messages", {"message": "ho", "message_id": "b"}, 400),
        ("POST", f"{session}/blocks", {"type": "MEMORY", "content": "k", "id": "k"}, 201),
        ("POST", f"{session}/blocks", {"type": "MEMORY", "content": "k", "id": "k"}, 200),
        ("POST", f"{session}/blocks", {"type": "SYSTEM", "content": "k"}, 403),
        ("GET", f"{session}/blocks", None, 200),
        ("GET", f"{session}/blocks/{{block_id}}", None, 200),
        ("GET", f"{session}/prompt", None, 200),
        ("GET", f"{session}/prompt?render=text", None, 200),
        ("GET", f"{session}/prompt?budget=1", None, 422),
        ("POST", f"{session}/handoff", {"to": "second"}, 200),
        ("POST", f"{session}/handoff", {"to": "nobody"}, 400),
        ("DELETE", f"{session}/blocks/{{block_id}}", None, 204),
        ("DELETE", f"{session}/blocks/{{block_id}}", None, 404),
        ("DELETE", session, None, 204),
        ("DELETE", session, None, 404),
        ("GET", "/health", None, 200),
        ("GET", "/ready", None, 200),
        ("GET", "/metrics", None, 404),
        ("GET", "/openapi.json", None, 200),
    ]

    async def talk():
        async with client_of(app_of()) as client:
            document = await described(client)
            for method, path, body, status in walk:
                url = path.replace("{session_id}", "s").replace("{block_id}", "b")
                response = await client.request(method, url, json=body)
                assert response.status_code == status, (method, path, response.text)
                check(document, method, path.partition("?")[0], response)
            app_keyless = await client.get("/v1/sessions/s", headers={"Authorization": "Bearer nobody"})
            check(document, "GET", session, app_keyless)

    asyncio.run(talk())


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
KINDS = {
    "string": st.sampled_from(["s", "b", "hi", "second", "recent", "cache", "~", "%", "a/b"]) | st.text(max_size=20),
    "number": st.floats(-1, 2) | st.integers(-1, 2),
    "integer": st.integers(-1, 300),
    "texts": st.dictionaries(st.text(max_size=8) | st.just("openai.x"), st.text(max_size=8), max_size=2),
    "strings": st.lists(st.text(max_size=8) | st.just("b"), max_size=2),
}


def values_of(fields):
    """Mostly what the fields may hold, now and then anything."""
    kinds = {
        one.name: (st.sampled_from(one.choices) if one.choices else KINDS[one.kind]) | KINDS[one.kind] for one in fields
    }
    needed = {one.name for one in fields if one.is_required}
    right = st.fixed_dictionaries(
        {name: kinds[name] for name in needed}, optional={name: kinds[name] for name in kinds.keys() - needed}
    )
    return right | right.flatmap(lambda made: VALUES.map(lambda value: {**made, "message": value})) | VALUES


IDS = st.tuples(st.just("s") | st.text(min_size=1, max_size=12), st.just("b") | st.text(min_size=1, max_size=12))
REQUESTS = st.one_of(
    [
        st.tuples(
            st.just(one), IDS, values_of(one.body), values_of(one.query).filter(lambda made: isinstance(made, dict))
        )
        for one in OPERATIONS
        if one.access == "key"
    ]
)


@settings(max_examples=200)
@given(asked=REQUESTS)
def test_whatever_is_asked_is_answered_as_described(asked):
    operation, ids, body, query = asked

    async def ask():
        async with client_of(app_of()) as client:
            document = await described(client)
            await client.post("/v1/sessions", json={"session_id": "s"})
            await client.post("/v1/sessions/s/messages", json={"message": "hi", "message_id": "b"})
            template = re.sub(r":\w+", "", operation.path)
            path = template
            for name, value in zip(("{session_id}", "{block_id}"), ids, strict=True):
                path = path.replace(name, "".join(f"%{byte:02X}" for byte in value.encode()))
            response = await client.request(operation.method, path, params=query, json=body if operation.body else None)
            if response.status_code == 404 and response.json()["error"]["type"] == "NotFound":
                return
            if response.status_code == 405:
                # An id with a / is the path of something else.
                assert "/" in ids[0]
                return
            assert response.status_code < 500, response.text
            check(document, operation.method, template, response)

    asyncio.run(ask())
