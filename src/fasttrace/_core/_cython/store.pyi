from fasttrace._core._python.store import Store as Store

__all__ = ["Store"]
