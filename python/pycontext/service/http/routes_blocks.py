"""Requests about the blocks of a conversation."""

from __future__ import annotations

import uuid
from typing import Any, Final

from pycontext.block import PROVIDER_PREFIXES, ContextBlock, ContextType
from pycontext.errors import ConflictError, PrivilegeError, UnknownBlockError, shown
from pycontext.package import ContextPackage
from pycontext.service.http.body import Field
from pycontext.service.http.operation import Answer, Call, Operation, as_json
from pycontext.service.http.visit import change, look

__all__ = ["BLOCK_OPERATIONS"]

_MOST_BLOCKS: Final = 500
# A page ends after so much, so that no request makes a response that fills the memory.
_PAGE_BYTES: Final = 4 << 20

# What a caller adds is marked, as what a peer sent is: headers say that it is data.
_ORIGIN: Final = "api"


def _values(block: ContextBlock) -> dict[str, Any]:
    return {
        "id": block.id,
        "type": block.type.name,
        "content": block.content,
        "relevance_score": block.relevance_score,
        "metadata": dict(block.metadata),
        "timestamp": block.timestamp,
        "token_count": block.token_count,
        "references": list(block.references),
        "origin": block.origin,
    }


async def _list(call: Call) -> Answer:
    limit, cursor = call.query.get("limit", 50), call.query.get("cursor")

    def page(package: ContextPackage) -> bytes:
        made: list[dict[str, Any]] = []
        size = 0
        with package.lock:
            blocks = package.blocks
            row = 0
            if cursor is not None:
                found = blocks.find(cursor)
                if found is None:
                    raise ConflictError(f"cursor {shown(cursor)} is a block that fell meanwhile: begin again", 0, 0)
                row = found + 1
            while row < len(blocks) and len(made) < limit and size < _PAGE_BYTES:
                made.append(_values(blocks[row]))
                size += len(made[-1]["content"])
                row += 1
            following = made[-1]["id"] if made and row < len(blocks) else None
        return as_json({"blocks": made, "next": following})

    return Answer(await look(call, page))


async def _get(call: Call) -> Answer:
    manager, block_id = call.coordinator.context_manager, call.path["block_id"]
    return Answer(await look(call, lambda package: as_json(_values(manager.get_block(package.session_id, block_id)))))


async def _add(call: Call) -> Answer:
    body, manager = call.body, call.coordinator.context_manager
    kind = ContextType[body["type"]]
    metadata, references = body.get("metadata", {}), body.get("references", [])
    _check_privileges(kind, metadata, references)
    block_id = body.get("id", str(uuid.uuid4()))

    def add(package: ContextPackage) -> tuple[bytes, int]:
        session_id = package.session_id
        try:
            known = manager.get_block(session_id, block_id)
        except UnknownBlockError:
            pass
        else:
            if (known.type, known.content) != (kind, body["content"]):
                raise ConflictError(f"id {shown(block_id)} is that of another block", 0, 0)
            return as_json(_values(known)), 200
        added = manager.add_context(
            session_id,
            body["content"],
            kind,
            body.get("relevance_score", 1.0),
            metadata,
            block_id=block_id,
            references=references,
        )
        manager.get_block(session_id, added).origin = _ORIGIN
        # What was written to the block is in the store before this is answered.
        manager.refresh(session_id)
        return as_json(_values(manager.get_block(session_id, added))), 201

    made, status = await change(call, add)
    return Answer(made, status)


def _check_privileges(kind: ContextType, metadata: dict[str, str], references: list[str]) -> None:
    """Refuse what only agents may write: it would be obeyed, or have tools called."""
    if kind is ContextType.SYSTEM:
        raise PrivilegeError("type 'SYSTEM' is not for callers: what an agent is told is its own prompt")
    for name in metadata:
        if name.startswith(PROVIDER_PREFIXES):
            raise PrivilegeError(f"metadata {shown(name)} is not for callers: calls of tools are those of agents")
    if kind is ContextType.TOOL and references:
        raise PrivilegeError("references of a TOOL block are not for callers: they answer the calls of agents")


async def _remove(call: Call) -> Answer:
    manager, block_id = call.coordinator.context_manager, call.path["block_id"]

    def remove(package: ContextPackage) -> None:
        if manager.get_block(package.session_id, block_id).type is ContextType.SYSTEM:
            raise PrivilegeError(f"block {shown(block_id)} is SYSTEM, which callers do not remove")
        manager.remove_block(package.session_id, block_id)

    await change(call, remove)
    return Answer(b"", 204)


_BLOCKS: Final = "/v1/sessions/{session_id}/blocks"
_BLOCK: Final = f"{_BLOCKS}/{{block_id:path}}"

BLOCK_OPERATIONS: Final = (
    Operation(
        method="GET",
        path=_BLOCKS,
        name="listBlocks",
        says="The blocks of a conversation in order, page by page.",
        handler=_list,
        query=(
            Field(name="limit", kind="integer", says="Blocks of a page.", least=1, most=_MOST_BLOCKS),
            Field(name="cursor", kind="string", says="`next` of the page before."),
        ),
        answers={200: "Blocks"},
        refusals=(400, 404, 409),
    ),
    Operation(
        method="POST",
        path=_BLOCKS,
        name="addBlock",
        says="Add a block; the same block under the same id is added once.",
        handler=_add,
        body=(
            Field(
                name="type",
                kind="string",
                says="What it is; SYSTEM is refused.",
                is_required=True,
                choices=tuple(ContextType.__members__),
            ),
            Field(name="content", kind="string", says="What it says.", is_required=True),
            Field(name="id", kind="string", says="Of the block; a random one where there is none."),
            Field(name="relevance_score", kind="number", says="From 0 to 1; 1 where it is not said.", least=0, most=1),
            Field(name="metadata", kind="texts", says="Kept with the block."),
            Field(name="references", kind="strings", says="Ids of other blocks."),
        ),
        answers={200: "Block", 201: "Block"},
        refusals=(400, 403, 404, 409, 413, 415, 422),
    ),
    Operation(
        method="GET",
        path=_BLOCK,
        name="getBlock",
        says="One block, also one that fell and is remembered.",
        handler=_get,
        answers={200: "Block"},
        refusals=(400, 404),
    ),
    Operation(
        method="DELETE",
        path=_BLOCK,
        name="removeBlock",
        says="Remove a block.",
        handler=_remove,
        answers={204: ""},
        refusals=(400, 403, 404, 409),
    ),
)
