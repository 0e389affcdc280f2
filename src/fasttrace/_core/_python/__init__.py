"""The pure-Python core: the readable specification of the compiled one; see ``fasttrace._core.abc``."""
