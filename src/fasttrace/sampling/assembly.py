"""What a provider's settings mean for sampling: head sampler, plan of the tail rules, what changes them as it runs."""

from __future__ import annotations

from fasttrace.errors import ConfigurationError
from fasttrace.sampling import names
from fasttrace.sampling.probability import ParentBased, Probability

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from fasttrace.config import Settings
    from fasttrace.cost import Bill
    from fasttrace.sampling.base import Sampler
    from fasttrace.sampling.budget import Budget
    from fasttrace.sampling.governor import Governor
    from fasttrace.sampling.incident import Incident
    from fasttrace.sampling.tail import Plan


def assemble(
    settings: Settings, resource: Mapping[str, Any] | Callable[[], Mapping[str, Any]]
) -> tuple[Sampler, Plan | None]:
    """The sampler and the plan of the tail rules, None without any.

    With tail rules and no sampler the head keeps the baseline, below ParentBased, and nothing without one; beside a
    sampler of the user's own the baseline is a rule like the others. A preset's rules give way to the user's.
    Raises ConfigurationError.
    """
    sampler, preset_tail = names.from_settings(settings, resource)
    rules = preset_tail if settings.tail is None else settings.tail
    if not rules:
        return sampler, None
    from fasttrace.sampling import tail

    head_is_baseline = settings.sampler is None or settings.tail is None
    plan = tail.plan(rules, head_is_baseline)
    if not plan.rules:
        return sampler, None
    if settings.sampler is None:
        sampler = ParentBased(Probability(plan.baseline_ratio or 0.0))
    return sampler, plan


def _incidents(given: Any) -> tuple[Incident, ...]:
    """Incidents from one or several. Raises ConfigurationError for anything else."""
    from fasttrace.sampling.incident import Incident

    if given is None:
        return ()
    found = (given,) if isinstance(given, Incident) or not hasattr(given, "__iter__") else tuple(given)
    for item in found:
        if not isinstance(item, Incident):
            raise ConfigurationError(f"incident={item!r}: use fasttrace.sampling.Incident(...), or a list of them")
    return found


def governor(
    settings: Settings,
    sampler: Sampler,
    *,
    window: Callable[[], Mapping[str, Any]],
    recall: Callable[[int], int],
    recall_recent: Callable[[float], int],
    bill: Callable[[], Bill],
    lower: Callable[[int, float], None],
) -> Governor:
    """What changes a provider's sampling while the process runs; its steps are those of ``Governor`` and ``Budget``."""
    import os

    from fasttrace.sampling import control
    from fasttrace.sampling.governor import Governor

    incidents = _incidents(settings.incident)
    path = control.chosen_path(settings.control_file, os.environ)
    return Governor(
        sampler,
        window,
        None if path is None else control.Control(path),
        incidents,
        recall,
        recall_recent,
        budget=_budget(settings.max_cpu_ratio, sampler, bill, lower),
    )


def _budget(
    max_cpu_ratio: float | None, sampler: Sampler, bill: Callable[[], Bill], lower: Callable[[int, float], None]
) -> Budget | None:
    """What keeps the bill below ``max_cpu_ratio``, if there is one."""
    if max_cpu_ratio is None:
        return None
    from fasttrace.sampling.budget import Budget

    return Budget(
        max_cpu_ratio,
        lambda: (bill().own_seconds(), bill().process_seconds()),
        lower,
        lambda: sampler.state()["ratio"],
    )
