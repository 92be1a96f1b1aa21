"""What workers tell the driver while they are at it."""

from typing import Any

Message = tuple[str, str, Any]
"""Name of the run, "progress" or "files", and the arguments of a `Show` or the files."""


class Mailbox:
    """An actor that keeps messages until the driver takes them.

    Nothing depends on it but what one sees, and how far a lost run of a worker with a disk of its
    own goes back: results come with the end of a task.
    """

    def __init__(self) -> None:
        self._messages: list[Message] = []

    def put(self, message: Message) -> None:
        """Adds a message."""
        self._messages.append(message)

    def take(self) -> list[Message]:
        """All messages since the last call."""
        messages, self._messages = self._messages, []
        return messages
