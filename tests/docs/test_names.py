"""Names in the manual and names in the code are the same: what exists is described, and what is described exists."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import tomllib
from collections.abc import Iterable
from typing import Any

import pytest
from manual import DOCS, ROOT, Page, commands, pages, text_of_all

import fasttrace
from fasttrace import accounts, config, export, metrics, propagation, sampling, testing
from fasttrace._core.layout import DROP_REASONS
from fasttrace.cli.parser import build_parser
from fasttrace.config.variables import FROM_KUBERNETES
from fasttrace.sampling import tail

PAGES = pages()
TEXT = text_of_all()
API = (DOCS / "api.md").read_text(encoding="utf-8")
SOURCE = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "src").rglob("*.py")))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

# Public in the code's sense, for the rest of fasttrace; of no use to anybody else.
INTERNAL = {
    "fasttrace.export.create",
    "fasttrace.sampling.bind",
    "fasttrace.sampling.from_settings",
    "fasttrace.sampling.tail.Plan",
    "fasttrace.sampling.tail.plan",
}
# What other programs have: in our pages for their users' sake.
FOREIGN_VARIABLES = re.compile(
    r"OTEL_(TRACES|METRICS|LOGS)_EXPORTER$|OTEL_PYTHON_(CONFIGURATOR|DISTRO|CONTEXT|TRACER_PROVIDER)$"
)
FOREIGN_OPTIONS = {
    "--enable-threads", "--max-tasks-per-child", "--preload", "--py-call-uwsgi-fork-hooks", "--reload", "--version",
    "--workers", "--check", "--ratio", "--release", "--help",
}  # fmt: skip


def undescribed(names: Iterable[str], text: str) -> list[str]:
    """Of these names, those that a text does not have as words of their own."""
    return sorted(name for name in names if not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text))


# --- commands and options


def command_tree() -> dict[tuple[str, ...], set[str]]:
    """Every command and action, with its options."""
    import sys

    sys.path.insert(0, str(DOCS / "reference"))
    from commands import tree

    return {
        words: {option for action in parser._actions for option in action.option_strings} - {"-h", "--help"}
        for words, parser in tree(build_parser())
    }


TREE = command_tree()


@pytest.mark.parametrize("words", TREE, ids=" ".join)
def test_a_command_and_its_options_are_described(words: tuple[str, ...]) -> None:
    page = (DOCS / "commands.md").read_text(encoding="utf-8")
    heading = f"{'#' * (len(words) + 1)} fasttrace {' '.join(words)}\n"
    assert heading in page
    section = page.partition(heading)[2].partition("\n## ")[0].partition("\n### ")[0]
    assert undescribed(TREE[words], section) == []
    others = "".join(page.text for page in PAGES if page.name != "commands")
    assert f"fasttrace {words[0]}" in others, "only the list of all commands knows it"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_options_that_are_mentioned_exist(page: Page) -> None:
    for line, argv in commands(page):
        if argv and not argv[0].startswith("-") and argv[0].islower():
            assert (argv[0],) in TREE, line
            if (argv[0], *argv[1:2]) not in TREE and any(words[:1] == (argv[0],) and words[1:] for words in TREE):
                assert not argv[1:2] or argv[1].startswith("-"), line
    options = set().union(*TREE.values())
    for quoted in page.quoted():
        for option in re.findall(r"(?<![\w-])--[a-z][\w-]+", quoted):
            ours = quoted.startswith((option, "fasttrace"))
            assert not ours or option in options | FOREIGN_OPTIONS, quoted


# --- variables


def variables() -> set[str]:
    """Every variable of ours and of OpenTelemetry's that some code of fasttrace reads."""
    table = {variable for setting in config.SETTINGS for variable, _ in setting.variables}
    limits = {variable for row in config.LIMITS.values() for variable, _ in row}
    otlp = {
        f"OTEL_EXPORTER_OTLP_{part}{name}"
        for name in re.findall(r'\bvariable\("(\w+)"\)', SOURCE)
        for part in ("", "TRACES_")
    }
    others = set(re.findall(r"[\"'](OTEL_\w+[A-Z])[\"']", SOURCE))
    return table | limits | otlp | others | set(config.known_names())


def test_every_variable_is_described() -> None:
    ours = set(config.known_names())
    assert len(ours) > 30
    assert undescribed(ours, TEXT) == []
    table = {variable for setting in config.SETTINGS for variable, _ in setting.variables}
    limits = {variable for row in config.LIMITS.values() for variable, _ in row}
    page = (DOCS / "configuration.md").read_text(encoding="utf-8")
    assert undescribed(table | limits | ours, page) == []


def test_every_variable_of_exporters_is_described() -> None:
    page = (DOCS / "exporting.md").read_text(encoding="utf-8").replace("`..._", "`OTEL_EXPORTER_OTLP_")
    named = {name for name in variables() if name.startswith("OTEL_EXPORTER_") and "_TRACES_" not in name}
    assert undescribed(named, page) == []


def test_every_variable_that_is_mentioned_exists() -> None:
    known = variables() | set(FROM_KUBERNETES)
    known |= {name.replace("OTLP_", "OTLP_TRACES_") for name in known}
    for page in PAGES:
        for name in re.findall(r"(?<![\w.])(?:FASTTRACE|OTEL)_[A-Z0-9_]*[A-Z0-9]\b(?!_?\*|_\.\.\.)", page.text):
            assert name in known or FOREIGN_VARIABLES.match(name), f"{page.name}: {name}"


# --- public names


def public() -> list[str]:
    """Every name that a module of the public interface declares."""
    modules = (fasttrace, export, propagation, propagation.binary, sampling, tail, testing, fasttrace.opentelemetry)
    found = {f"{module.__name__}.{name}" for module in modules for name in module.__all__}
    for module in (fasttrace.baggage, metrics, sampling.signals, fasttrace.errors):
        own = [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
        found |= {f"{module.__name__}.{name}" for name in own if not name.startswith("_")}
    return sorted(found - INTERNAL)


importlib.import_module("fasttrace.propagation.binary")
importlib.import_module("fasttrace.sampling.signals")
importlib.import_module("fasttrace.opentelemetry")
PUBLIC = public()


def resolve(dotted: str) -> Any:
    """What a dotted name stands for; AttributeError if it is nothing."""
    found: Any = fasttrace
    path = "fasttrace"
    for part in dotted.split(".")[1:]:
        path = f"{path}.{part}"
        try:
            found = getattr(found, part)
        except AttributeError:
            try:
                found = importlib.import_module(path)
            except ImportError as error:
                raise AttributeError(dotted) from error
    return found


def directives() -> dict[str, set[str]]:
    """What the page of the API has a directive for, with the members that it lists."""
    found: dict[str, set[str]] = {}
    for name, members in re.findall(r"^\.\. \w+:: ([\w.]+)(?:\(\))?\n(?:   :members: ?(.*)\n)?", API, re.MULTILINE):
        found[name] = {member.strip() for member in members.split(",") if member.strip()}
    return found


def test_every_public_name_is_on_the_page_of_the_api() -> None:
    described = set(re.findall(r"`(fasttrace\.[\w.]+)`", API))
    for name, members in directives().items():
        described |= {name} | {f"{name}.{member}" for member in members}
    # A name that is handed on is described where people import it from.
    at = {id(resolve(name)) for name in described}
    missing = [name for name in PUBLIC if name not in described and id(resolve(name)) not in at]
    assert missing == []


def test_every_name_of_the_api_exists_and_has_a_docstring() -> None:
    for name, members in directives().items():
        for dotted in [name, *(f"{name}.{member}" for member in members)]:
            found = resolve(dotted)
            assert isinstance(found, str) or inspect.getdoc(found), dotted


def test_what_integrations_offer_is_described() -> None:
    text = "".join(page.text for page in PAGES if page.name.startswith("integrations/"))
    found = set()
    for path in (ROOT / "src/fasttrace/integrations").glob("[a-z]*.py"):
        declared = re.search(r"^__all__ = (\[.+?\])", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
        assert declared, path
        found |= set(ast.literal_eval(declared[1]))
    assert len(found) > 10
    assert undescribed(found, text) == []


def test_every_argument_of_configure_is_described() -> None:
    arguments = inspect.signature(fasttrace.configure).parameters
    assert [name for name in arguments if not re.search(rf"\b{name}\b ?=|`{name}`", TEXT)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_names_that_are_mentioned_exist(page: Page) -> None:
    for quoted in page.quoted():
        for dotted in re.findall(r"(?<![\w./-])fasttrace(?:\.[A-Za-z_]\w*)+", quoted):
            if f'"{dotted}"' in SOURCE or f".{dotted}" in page.text or dotted == "fasttrace.example":
                continue  # an attribute, or a file
            resolve(dotted)
        for dotted in re.findall(r"(?<![\w./-])integrations(?:\.[a-z_]\w*)+", quoted):
            resolve(f"fasttrace.{dotted}")


# --- other lists of names


def test_extras_exist_and_are_described() -> None:
    people = TEXT + (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    mentioned = {
        name.strip() for names in re.findall(r"(?:fasttrace|\.)\[([\w,]+)\]", people) for name in names.split(",")
    }
    extras = set(PROJECT["optional-dependencies"])
    assert mentioned <= extras
    contributors = {"check", "dev", "docs", "servers", "test"}
    assert extras - contributors <= set(re.findall(r"`fasttrace\[(\w+)\]`", TEXT))


def test_entry_points_are_described() -> None:
    page = (DOCS / "opentelemetry.md").read_text(encoding="utf-8") + (DOCS / "testing.md").read_text(encoding="utf-8")
    groups = set(PROJECT["entry-points"])
    assert undescribed(groups, page) == []
    assert set(re.findall(r"`(opentelemetry_\w+|pytest\d+)`", page)) <= groups


def test_figures_of_stats_are_described_and_exist() -> None:
    text = (DOCS / "observing.md").read_text(encoding="utf-8")
    table, reasons = text.partition("| key of `stats()` |")[2].partition("| `dropped` | why")[::2]
    rows = re.findall(r"^\| (`.+?`) \|", table, re.MULTILINE)
    assert sorted(re.findall(r"`(\w+)`", " ".join(rows))) == sorted(accounts.blank())
    assert re.findall(r"^\| `(\w+)` \|", reasons.partition("\n\n")[0], re.MULTILINE) == list(DROP_REASONS)
    for name in re.findall(r"stats\(\)\[[\"'](\w+)[\"']\]", TEXT):
        assert name in accounts.blank(), name


def test_metrics_that_are_mentioned_exist() -> None:
    text = metrics.prometheus_text()
    for name in re.findall(r"\bfasttrace_[a-z_]+", TEXT):
        assert re.search(rf"^{name}\b", text, re.MULTILINE), name


def test_names_of_settings_are_described() -> None:
    page = (DOCS / "exporting.md").read_text(encoding="utf-8")
    assert undescribed((f"`{name}`" for name in config.EXPORTERS), page) == []
    page = (DOCS / "propagation.md").read_text(encoding="utf-8")
    assert undescribed((f"`{name}`" for name in config.PROPAGATORS), page) == []
    page = (DOCS / "integrations" / "index.md").read_text(encoding="utf-8")
    named = set(re.findall(r'`"(\w+)"`', page))
    assert named == set(config.INSTRUMENTATIONS)
