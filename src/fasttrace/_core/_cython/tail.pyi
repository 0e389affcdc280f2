from fasttrace._core._python.tail import LocalTrace as LocalTrace
from fasttrace._core._python.tail import TailRules as TailRules

__all__ = ["LocalTrace", "TailRules"]
