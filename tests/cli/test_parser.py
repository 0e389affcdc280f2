"""Wrong usage is answered with what was meant, and exit code 2."""

from __future__ import annotations

import pytest

from fasttrace.cli.parser import build_parser


def usage_error(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    with pytest.raises(SystemExit) as exit_info:
        build_parser().parse_args(argv)
    assert exit_info.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["shwo", "slow"], "fasttrace: no command 'shwo'. Did you mean show?"),
        (["dmeo"], "fasttrace: no command 'dmeo'. Did you mean demo?"),
        (["ls", "--jsno"], "fasttrace: unknown argument --jsno. Did you mean --json?"),
        (["demo", "--request=5"], "fasttrace: unknown argument --request. Did you mean --requests?"),
        (["demo", "--requests", "many"], "fasttrace: argument --requests: 'many' is not a whole number of 1 or more"),
        (
            ["demo", "--port", "99999"],
            "fasttrace: argument --port: '99999' is not a port: use 1 to 65535, or 0 for any free one",
        ),
        (["demo", "--rate", "0"], "fasttrace: argument --rate: '0' is not a rate: use requests per second, above 0"),
        (["show"], "fasttrace: the following arguments are required: TRACE"),
        ([], "fasttrace: the following arguments are required: command"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_named_with_what_was_meant(capsys: pytest.CaptureFixture[str], argv: list[str], said: str) -> None:
    assert usage_error(capsys, *argv).splitlines()[0] == said


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        build_parser().parse_args(["--help"])
    assert exit_info.value.code == 0
    shown = capsys.readouterr().out
    assert all(f"\n    {name} " in shown for name in ("demo", "ls", "show", "serve", "doctor"))


def test_command_like_no_other_is_answered_with_all_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    said = usage_error(capsys, "xyzzy").splitlines()[0]
    assert said.startswith("fasttrace: no command 'xyzzy': use demo, run, ls, show")
    assert {"tail", "top", "map", "diff"} <= set(said.partition("use ")[2].split(", "))
