"""The commands about traces: to look at, to compare, to hand on."""

from __future__ import annotations

import argparse
from typing import Any

from fasttrace.cli.arguments import command, values
from fasttrace.cli.arguments.command import Parser


def add_ls(commands: Any) -> None:
    """``fasttrace ls``."""
    ls = command.add(commands, "ls", "list the traces of the spool, newest last")
    _add_query(ls)
    order = ls.add_mutually_exclusive_group()
    order.add_argument("--slow", action="store_true", help="the slowest, slowest first")
    order.add_argument("--errors", action="store_true", help="only traces with a failed span")
    ls.add_argument("--limit", type=values.count, default=20, metavar="N", help="at most so many (default: 20)")
    ls.add_argument("--json", action="store_true", help="a JSON list of objects")
    ls.epilog = _SEARCH_EXAMPLES


def add_show(commands: Any) -> None:
    """``fasttrace show``."""
    show = command.add(commands, "show", "show one trace as a waterfall")
    show.add_argument(
        "trace", metavar="TRACE", help="the start of a trace id, `slow` for the slowest, `last` for the newest"
    )
    show.add_argument(
        "--rows",
        type=values.count,
        default=400,
        metavar="N",
        help="at most so many rows of the waterfall (default: 400)",
    )
    show.add_argument("--unfold", action="store_true", help="a row for each of like spans")
    show.add_argument("--json", action="store_true", help="a JSON object: spans in tree order, times, diagnosis")


_SEARCH = "what to look for, such as: service=inventory 'dur>500ms' status=error (default: everything)"


_SEARCH_EXAMPLES = """\
searches:
  fasttrace ls service=inventory 'dur>500ms'      a span of this service, longer than this
  fasttrace ls status=error -service=shipping     a failed span of another service
  fasttrace ls 'http.route~"/orders*"' 'code>=500'
  fasttrace ls 'order.id=4711'                    any attribute, of the span or its resource
  fasttrace ls 'trace.dur>2s' 'trace.errors>0'    the whole trace
  fasttrace ls '"card declined"'                  a text, in names and attributes
"""


def _add_query(command: Parser) -> None:
    command.add_argument("query", nargs="*", metavar="SEARCH", help=_SEARCH)


def _add_last(command: Parser) -> None:
    command.add_argument("--last", type=values.time, metavar="TIME", help="only traces of this time, such as 5m or 1h")


def add_tail(commands: Any) -> None:
    """``fasttrace tail``."""
    tail = command.add(commands, "tail", "show traces as they come, one line each")
    _add_query(tail)
    tail.add_argument("--errors", action="store_true", help="only traces with a failed span")
    tail.add_argument("--count", type=values.count, metavar="N", help="end after so many traces")
    tail.add_argument(
        "--for", dest="seconds", type=values.time, metavar="TIME", help="end after a time, such as 30s or 5m"
    )
    tail.add_argument("--json", action="store_true", help="a JSON object on each line")


def add_top(commands: Any) -> None:
    """``fasttrace top``."""
    top = command.add(
        commands, "top", "show what the services are asked for, by what takes the time; drawn again and again"
    )
    _add_query(top)
    top.add_argument(
        "--by",
        choices=("self", "p95", "errors", "time", "calls"),
        default="self",
        help="what comes first: most time of their own (self, the default), the slowest, most failures, most time with "
        "all that they call, most calls",
    )
    _add_last(top)
    top.add_argument(
        "--interval", type=values.seconds, default=2.0, metavar="S", help="seconds between two looks (default: 2)"
    )
    top.add_argument("--once", action="store_true", help="print it once and end, as without a terminal")
    top.add_argument(
        "--limit", type=values.count, default=40, metavar="N", help="with --once, so many routes (default: 40)"
    )
    top.add_argument("--json", action="store_true", help="a JSON object, once")


def add_map(commands: Any) -> None:
    """``fasttrace map``."""
    service_map = command.add(commands, "map", "show who calls whom, how often, how slow and with how many failures")
    _add_query(service_map)
    _add_last(service_map)
    service_map.add_argument("--json", action="store_true", help="a JSON object: nodes and edges")


_DIFF_EXAMPLES = """\
examples:
  fasttrace diff 4bf92f35 slow                        two traces
  fasttrace diff 20m..10m 10m..                       the last ten minutes, and those before
  fasttrace diff 12:00..12:05 12:05..12:10
  fasttrace diff 'service.version=1' 'service.version=2'
  fasttrace diff --fail-over 10% 20m..10m 10m..       exit code 3 when it has become slower by a tenth
"""


def add_diff(commands: Any) -> None:
    """``fasttrace diff``."""
    diff = command.add(commands, "diff", "compare two traces, or two groups of them: what takes longer in the second")
    diff.epilog = _DIFF_EXAMPLES
    diff.add_argument("a", metavar="A", help="a trace, as for show; a range of time; or a search")
    diff.add_argument("b", metavar="B", help="the same")
    diff.add_argument(
        "--limit",
        type=values.count,
        default=200,
        metavar="N",
        help="of each group the newest so many traces, of 50,000 spans at most (default: 200)",
    )
    diff.add_argument(
        "--fail-over",
        type=values.percent,
        metavar="SHARE",
        help="exit code 3 when b is slower than a by more, such as 10%%",
    )
    diff.add_argument("--json", action="store_true", help="a JSON object")


_FORMATS = ("otlp-json", "otlp", "jaeger", "zipkin", "perfetto", "html")

_EXPORT_EXAMPLES = """\
examples:
  fasttrace export 4bf92f35 -o bug.otlp.jsonl         one trace, as OTLP in JSON
  fasttrace export slow -o slow.perfetto.json         for https://ui.perfetto.dev, or speedscope
  fasttrace export status=error -o bad.jaeger.json    what a search finds, for Jaeger's user interface
  fasttrace export slow --html -o slow.html           a page in one file, to send and to look at anywhere
  fasttrace export -o everything.otlp.gz              protobuf, packed
"""


def add_export(commands: Any) -> None:
    """``fasttrace export``."""
    export = command.add(commands, "export", "write traces for other tools")
    export.epilog = _EXPORT_EXAMPLES
    export.add_argument(
        "query", nargs="*", metavar="TRACE", help="a trace, as for show, or a search, as for ls (default: everything)"
    )
    export.add_argument("-o", "--output", metavar="FILE", help="the file; .gz packs it (default: standard output)")
    export.add_argument(
        "--format", choices=_FORMATS, help="the format (default: what the file's name says, else otlp-json)"
    )
    export.add_argument("--html", dest="format", action="store_const", const="html", help="a page in one file")
    export.add_argument("--limit", type=values.count, metavar="N", help="only the newest so many")
    export.add_argument("--json", action="store_true", help="a JSON object: what was written to --output")


def add_import(commands: Any) -> None:
    """``fasttrace import``."""
    reading = command.add(commands, "import", "read other tools' files into the spool")
    reading.add_argument(
        "files", nargs="+", metavar="FILE", help="OTLP, Jaeger or Zipkin; .gz, too; - is standard input"
    )
    reading.add_argument("--format", choices=_FORMATS[:-2], help="the format (default: what is found inside)")
    reading.add_argument("--json", action="store_true", help="a JSON list: what became of each file")


def add_serve(commands: Any) -> None:
    """``fasttrace serve``."""
    serve = command.add(commands, "serve", "show the traces of the spool in a browser")
    serve.add_argument(
        "--port",
        type=values.port,
        default=4320,
        metavar="PORT",
        help="the page's port, 0 for any free one (default: 4320)",
    )
    serve.add_argument(
        "--otlp",
        type=values.port,
        metavar="PORT",
        help="receive OTLP/HTTP here, too; exporters send to 4318 by default",
    )
    serve.add_argument(
        "--max-bytes",
        type=values.size,
        default=argparse.SUPPRESS,
        metavar="SIZE",
        help="delete the oldest spans beyond it, such as 2GiB (default: FASTTRACE_SPOOL_MAX_BYTES, or 512MiB)",
    )
    serve.add_argument(
        "--max-age",
        type=values.age,
        default=argparse.SUPPRESS,
        metavar="TIME",
        help="delete spans that are older, such as 12h; none keeps them (default: FASTTRACE_SPOOL_MAX_AGE, or 7d)",
    )
    serve.add_argument("--open", action="store_true", help="open the page in the browser")
    serve.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="HOST",
        help="the address to listen on (default: 127.0.0.1); any but the loopback asks everybody for a token",
    )
    serve.add_argument(
        "--token", metavar="TOKEN", help="the token to ask for (default: a random one, which is printed)"
    )
    serve.add_argument("--json", action="store_true", help="a JSON object on one line: the addresses and the token")
