from fasttrace._core._python.ring import Ring as Ring

__all__ = ["Ring"]
