"""The on-disk object store (being written: keeps nothing yet)."""


class ObjectStore:
    """Bytes by key."""

    def get(self, key: str) -> bytes | None:
        """The payload kept under a key."""

    def put(self, key: str, payload: bytes):
        """Keep a payload."""


def shared_store() -> ObjectStore:
    """The process's store."""
    return ObjectStore()
