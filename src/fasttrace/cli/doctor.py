"""``fasttrace doctor``: what would happen here if an application called ``configure()``, and what is wrong."""

from __future__ import annotations

import argparse
import json
import os
import sys

from fasttrace import doctor
from fasttrace.errors import ConfigurationError
from fasttrace.integrations import _registry


def run(arguments: argparse.Namespace) -> int:
    """Print what was found; 1 when something of it is an error."""
    report = doctor.examine(
        spool=arguments.spool, offline=arguments.offline, timeout=arguments.timeout, libraries=_libraries()
    )
    if arguments.json:
        json.dump(report.to_dict(), sys.stdout, indent=2)
        print()
    else:
        print("\n".join(_lines(report)))
    return 1 if report.count("error") else 0


def _libraries() -> list[str]:
    try:
        return _registry.installed(os.environ)
    except ConfigurationError:
        return []  # a finding of its own


def _lines(report: doctor.Report) -> list[str]:
    lines: list[str] = []
    width = max(len(finding.name) for _, findings in report.sections for finding in findings)
    for section, findings in report.sections:
        lines += [section]
        for finding in findings:
            lines.append(f"  {finding.status:<7}  {finding.name:<{width}}  {_printable(finding.text)}")
            if finding.advice:
                lines.append(f"  {'':<7}  {'':<{width}}  {_printable(finding.advice)}")
        lines.append("")
    lines.append(f"errors: {report.count('error')}, warnings: {report.count('warning')}")
    lines.append("What an application passes to configure() wins over these settings, and is not seen here.")
    return lines


def _printable(text: str) -> str:
    """On one line, whatever a variable or a receiver holds."""
    return "".join(character if character.isprintable() else "?" for character in text)
