"""The compiled core; see ``fasttrace._core.abc`` for the contract."""
