"""The name that this package is installed by, for texts that say how to install more of it."""

from __future__ import annotations


def distribution_name() -> str:
    """What pip calls it, from its metadata; ``fasttrace`` where it was put on the path without any."""
    from importlib.metadata import packages_distributions

    return packages_distributions().get("fasttrace", ["fasttrace"])[0]
