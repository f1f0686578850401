"""Where conversations are in the sessions of a manager, and what is there of a turn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pycontext.agents.route import Receiver
from pycontext.block import ContextBlock, ContextType
from pycontext.errors import UnknownBlockError, UnknownSessionError, ValidationError, shown
from pycontext.handoff import MAX_HOPS, handoff, transfer
from pycontext.manager import ContextManager

__all__ = ["Conversations"]

# As the article has it.
_USER_SCORE: Final = 0.9


class Conversations:
    """Finds conversations through handoffs, in whatever process, and passes them on.

    All of it may wait for a store.

    Args:
        manager: holds the sessions.
        receivers: agents that get a handoff, by name.
        names: of the agents, by role.
    """

    def __init__(self, manager: ContextManager, receivers: Mapping[str, Receiver], names: Mapping[str, str]) -> None:
        self._manager: Final = manager
        self._receivers: Final = receivers
        self._names: Final = names

    def found(self, session_id: str) -> str:
        """Return the session in which a conversation is, wherever that is.

        Raises:
            UnknownSessionError: there is no such conversation.
        """
        handed = [f"{session_id}~{number}" for number in range(1, MAX_HOPS + 1)] if self._receivers else []
        # What a handoff left behind is not written to any more, and expires first.
        for current in [session_id, *handed]:
            try:
                self._manager.refresh(current)
            except UnknownSessionError:
                continue
            return self._following(session_id, current)
        raise UnknownSessionError(f"session {shown(session_id)} does not exist")

    def _following(self, session_id: str, current: str) -> str:
        """The last of the sessions that handoffs made of one, which is live."""
        manager = self._manager
        while self._receivers:
            following = f"{session_id}~{_number(current) + 1}"
            try:
                manager.refresh(following)
            except UnknownSessionError:
                break
            manager.close_session(current)
            current = following
        return current

    def latest(self, session_id: str, current: str) -> str:
        """Return the session in which a live conversation is, with what other processes have written to it."""
        manager = self._manager
        if manager.store is None:
            return current
        stored, package = manager.store.refresh(current).version, manager.sessions.get(current)
        if package is None:
            return self.found(session_id)
        if (package.version, package.operation_id) != (stored, stored.operation_id):
            manager.refresh(current)
        return self._following(session_id, current)

    def pass_on(self, current: str, to: str, role: str) -> str:
        """Give a session to another agent, and return the id under which it goes on."""
        manager = self._manager
        rule = self._receivers.get(to)
        if rule is None:
            if manager.store is None:
                return manager.import_session(transfer(manager.sessions[current], to=role), trust="self")
            manager.transfer(current, role)
            manager.refresh(current)
            return current
        made = handoff(
            manager.sessions[current],
            to=role,
            budget=rule.budget,
            allow=rule.allow,
            receiver_tools=rule.tools,
            redact=rule.redact,
            metadata=rule.metadata,
            # That it is in the store is what says that the conversation goes on there.
            session_id=f"{current.partition('~')[0]}~{_number(current) + 1}",
        )
        new_id = manager.import_session(made.package, trust="self")
        manager.close_session(current)
        return new_id

    def begin(
        self,
        session_id: str,
        live: str,
        message: str | None,
        message_id: str,
        metadata: Mapping[str, str] | None,
    ) -> tuple[str, bool]:
        """Return the session in which a conversation is now, and whether the message was added to it just now."""
        current = self.latest(session_id, live)
        return current, message is not None and self._add_once(current, message, message_id, metadata)

    def _add_once(self, current: str, message: str, message_id: str, metadata: Mapping[str, str] | None) -> bool:
        """Add what the user said, and return True; False where it is there already."""
        manager = self._manager
        known = self.block(current, message_id)
        if known is None:
            name = self._names.get(manager.sessions[current].agent_id)
            answer = self.block(current, f"{message_id}.{name}")
            if answer is not None and answer.type is ContextType.USER:
                raise ValidationError(f"message_id {shown(message_id)} begins that of another message")
            if answer is not None:
                # The message fell, or did not come along in a handoff.
                return False
            added = manager.add_context(current, message, ContextType.USER, _USER_SCORE, metadata, block_id=message_id)
            if added == message_id:
                return True
            # Another process was faster.
            manager.remove_block(current, added)
            return self._add_once(current, message, message_id, metadata)
        # What came along in a handoff may be redacted.
        if known.type is not ContextType.USER or (known.content != message and "~" not in current):
            raise ValidationError(f"message_id {shown(message_id)} is that of another message")
        return False

    def block(self, current: str, block_id: str) -> ContextBlock | None:
        """Return a block of a session, None where it has none of that id and remembers none."""
        try:
            return self._manager.get_block(current, block_id)
        except UnknownBlockError:
            return None

    def last_message(self, current: str) -> str | None:
        """Return the id of what the user said last."""
        blocks = self._manager.sessions[current].blocks
        rows = [row for row, kind in enumerate(blocks.types.tolist()) if kind == ContextType.USER.value]
        return blocks[rows[-1]].id if rows else None


def _number(current: str) -> int:
    """How many handoffs made a session."""
    return int(current.partition("~")[2] or 0)
