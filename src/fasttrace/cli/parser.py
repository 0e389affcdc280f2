"""What the command line accepts. Imports nothing of what the commands do."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

from fasttrace._version import __version__

_EXAMPLES = """\
first steps:
  fasttrace run -- python app.py runs it traced, and every Python that it starts
  fasttrace demo                 five services, real requests, and the one that is too slow
  fasttrace ls --slow            the slowest traces
  fasttrace show slow            the slowest one as a waterfall
  fasttrace show 4bf92f35        a trace by the start of its id
  fasttrace tail                 traces as they come
  fasttrace top                  what the services are asked for, and what is slow
  fasttrace map                  who calls whom
  fasttrace diff 4bf92f35 slow   what of the second trace takes longer
  fasttrace serve --open         the same and more in the browser
  fasttrace doctor               what is configured here, and what is wrong with it
  fasttrace bench                what tracing costs on this machine
  fasttrace sampling boost 100% --for 10m
                                 every trace of every process here, for ten minutes
"""


# `-service=shop` is a term of a search, turned round, and no option.
_TURNED_TERM = re.compile(r"-[A-Za-z_.][\w.\-/]*[=!<>~]")


class Parser(argparse.ArgumentParser):
    """An argument parser that suggests what was meant; wrong usage exits with code 2."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **options)
        self.command_names: list[str] = []

    def parse_args(self, argv: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """Read the arguments; an unknown option is answered with the nearest one of its command."""
        words = [f" {word}" if _TURNED_TERM.match(word) else word for word in (sys.argv[1:] if argv is None else argv)]
        arguments, unknown = self.parse_known_args(words, namespace)
        if unknown:
            parser: Parser = getattr(arguments, "parser", self)
            word = unknown[0].partition("=")[0]
            known = [option for action in parser._actions for option in action.option_strings]
            parser.error(f"unknown argument {word}{_suggest(word, known)}")
        return arguments

    def error(self, message: str) -> NoReturn:
        """Say what was wrong on one line, and where to look."""
        self.exit(2, f"fasttrace: {message}\n  `{self.prog} --help` lists what there is\n")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.dest in ("command", "action") and value not in self.command_names:
            raise argparse.ArgumentError(None, f"no {action.dest} {value!r}{_suggest(str(value), self.command_names)}")
        super()._check_value(action, value)


def _suggest(word: str, known: Sequence[str]) -> str:
    matches = get_close_matches(word, known, n=1, cutoff=0.5)
    return f". Did you mean {matches[0]}?" if matches else f": use {', '.join(known)}" if len(known) < 30 else ""


def _count(text: str) -> int:
    """A whole number of 1 or more."""
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def _port(text: str) -> int:
    """A TCP port; 0 lets the system choose."""
    if not (text.isascii() and text.isdigit() and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: use 1 to 65535, or 0 for any free one")
    return int(text)


def _rate(text: str) -> float:
    """Requests per second."""
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a rate: use requests per second, above 0")
    return rate


def _amount(text: str) -> float:
    """A number above 0."""
    try:
        amount = float(text)
    except ValueError:
        amount = 0.0
    if not 0 < amount < 1e12:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return amount


def _seconds(text: str) -> float:
    """A time in seconds."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time: use seconds, above 0")
    return seconds


def _share(text: str) -> float:
    """A share of traces."""
    from fasttrace.sampling import reading

    return float(_read(reading.share, text))


def _time(text: str) -> float:
    """A time with a unit, or in seconds."""
    from fasttrace.sampling import reading

    return float(_read(reading.seconds, text))


def _size(text: str) -> int:
    """A number of bytes."""
    from fasttrace.config import values

    return int(_as_setting(values.size, text))


def _age(text: str) -> float | None:
    """A time, or none."""
    from fasttrace.config import values

    found: float | None = _as_setting(values.age, text)
    return found


def _as_setting(read: Any, text: str) -> Any:
    try:
        return read(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: use {error}") from None


def _percent(text: str) -> float:
    """A share that may be above 1: 10%, 0.1, 250%."""
    try:
        share = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share: use 10% or 0.1")
    return share


def _trace_id(text: str) -> int:
    """A whole trace id."""
    from fasttrace.sampling import reading

    return int(_read(reading.trace_id, text))


def _read(read: Any, text: str) -> Any:
    try:
        return read("", text)
    except ValueError as error:
        accepted = str(error).partition(": use ")[2]
        raise argparse.ArgumentTypeError(f"{text!r}: use {accepted}") from None


def build_parser() -> Parser:
    """The parser for all commands."""
    parser = Parser(
        prog="fasttrace",
        description="Distributed tracing that costs next to nothing. See your traces on this machine.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("--version", action="version", version=f"fasttrace {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)
    _add_demo(commands)
    _add_run(commands)
    _add_ls(commands)
    _add_show(commands)
    _add_tail(commands)
    _add_top(commands)
    _add_map(commands)
    _add_diff(commands)
    _add_export(commands)
    _add_import(commands)
    _add_serve(commands)
    _add_doctor(commands)
    _add_bench(commands)
    _add_sampling(commands)
    _add_collector_config(commands)
    _add_sizing(commands)
    parser.command_names = list(commands.choices)
    return parser


def _command(commands: Any, name: str, help_text: str, *, spool: bool = True) -> Parser:
    command: Parser = commands.add_parser(name, help=help_text, description=help_text[0].upper() + help_text[1:] + ".")
    command.set_defaults(parser=command)
    if spool:
        command.add_argument("--spool", metavar="DIR", help="the spool to use (default: .fasttrace/spool)")
    return command


def _add_demo(commands: Any) -> None:
    demo = _command(commands, "demo", "run a shop of five services under load and show its slowest trace")
    demo.add_argument(
        "--requests", type=_count, default=60, metavar="N", help="requests before the verdict (default: 60)"
    )
    after = demo.add_mutually_exclusive_group()
    after.add_argument("--exit", action="store_true", help="end after the verdict instead of going on until Ctrl-C")
    after.add_argument("--serve", action="store_true", help="show it in the browser, too, as `fasttrace serve` does")
    demo.add_argument(
        "--concurrency", type=_count, default=32, metavar="N", help="requests in flight at the peak (default: 32)"
    )
    demo.add_argument("--rate", type=_rate, metavar="R", help="at most so many requests per second (default: no limit)")
    demo.add_argument(
        "--port", type=_port, default=0, metavar="PORT", help="the gateway's port (default: any free one)"
    )
    demo.add_argument(
        "--endpoint", metavar="URL", help="send the spans to an OTLP/HTTP receiver, too, such as http://localhost:4318"
    )


_RUN_EXAMPLES = """\
examples:
  fasttrace run -- python app.py
  fasttrace run --service checkout -- uvicorn app:app --workers 2
  fasttrace run --only flask,httpx -- flask --app shop run --reload

Settings come from FASTTRACE_* and OTEL_* variables; without an endpoint, spans go to the local spool.
"""


def _instrumentations(text: str) -> str:
    """Names of integrations."""
    from fasttrace.config import values

    try:
        values.instrumentations(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"use {error}") from None
    return text


def _add_run(commands: Any) -> None:
    run = _command(commands, "run", "run a program with everything traced that it imports")
    run.usage = "fasttrace run [options] [--] COMMAND [ARGUMENT ...]"
    run.epilog = _RUN_EXAMPLES
    run.add_argument("--service", metavar="NAME", help="what the traces call the program")
    run.add_argument(
        "--only", type=_instrumentations, metavar="NAMES", help="instrument these, commas between (default: all)"
    )
    run.add_argument("--quiet", action="store_true", help="do not say what is traced and where spans go")
    run.add_argument("program", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)


def _add_ls(commands: Any) -> None:
    ls = _command(commands, "ls", "list the traces of the spool, newest last")
    _add_query(ls)
    order = ls.add_mutually_exclusive_group()
    order.add_argument("--slow", action="store_true", help="the slowest, slowest first")
    order.add_argument("--errors", action="store_true", help="only traces with a failed span")
    ls.add_argument("--limit", type=_count, default=20, metavar="N", help="at most so many (default: 20)")
    ls.add_argument("--json", action="store_true", help="a JSON list of objects")
    ls.epilog = _SEARCH_EXAMPLES


def _add_show(commands: Any) -> None:
    show = _command(commands, "show", "show one trace as a waterfall")
    show.add_argument(
        "trace", metavar="TRACE", help="the start of a trace id, `slow` for the slowest, `last` for the newest"
    )
    show.add_argument(
        "--rows", type=_count, default=400, metavar="N", help="at most so many rows of the waterfall (default: 400)"
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
    command.add_argument("--last", type=_time, metavar="TIME", help="only traces of this time, such as 5m or 1h")


def _add_tail(commands: Any) -> None:
    tail = _command(commands, "tail", "show traces as they come, one line each")
    _add_query(tail)
    tail.add_argument("--errors", action="store_true", help="only traces with a failed span")
    tail.add_argument("--count", type=_count, metavar="N", help="end after so many traces")
    tail.add_argument("--for", dest="seconds", type=_time, metavar="TIME", help="end after a time, such as 30s or 5m")
    tail.add_argument("--json", action="store_true", help="a JSON object on each line")


def _add_top(commands: Any) -> None:
    top = _command(
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
        "--interval", type=_seconds, default=2.0, metavar="S", help="seconds between two looks (default: 2)"
    )
    top.add_argument("--once", action="store_true", help="print it once and end, as without a terminal")
    top.add_argument("--limit", type=_count, default=40, metavar="N", help="with --once, so many routes (default: 40)")
    top.add_argument("--json", action="store_true", help="a JSON object, once")


def _add_map(commands: Any) -> None:
    service_map = _command(commands, "map", "show who calls whom, how often, how slow and with how many failures")
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


def _add_diff(commands: Any) -> None:
    diff = _command(commands, "diff", "compare two traces, or two groups of them: what takes longer in the second")
    diff.epilog = _DIFF_EXAMPLES
    diff.add_argument("a", metavar="A", help="a trace, as for show; a range of time; or a search")
    diff.add_argument("b", metavar="B", help="the same")
    diff.add_argument(
        "--limit",
        type=_count,
        default=200,
        metavar="N",
        help="of each group the newest so many traces, of 50,000 spans at most (default: 200)",
    )
    diff.add_argument(
        "--fail-over", type=_percent, metavar="SHARE", help="exit code 3 when b is slower than a by more, such as 10%%"
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


def _add_export(commands: Any) -> None:
    export = _command(commands, "export", "write traces for other tools")
    export.epilog = _EXPORT_EXAMPLES
    export.add_argument(
        "query", nargs="*", metavar="TRACE", help="a trace, as for show, or a search, as for ls (default: everything)"
    )
    export.add_argument("-o", "--output", metavar="FILE", help="the file; .gz packs it (default: standard output)")
    export.add_argument(
        "--format", choices=_FORMATS, help="the format (default: what the file's name says, else otlp-json)"
    )
    export.add_argument("--html", dest="format", action="store_const", const="html", help="a page in one file")
    export.add_argument("--limit", type=_count, metavar="N", help="only the newest so many")
    export.add_argument("--json", action="store_true", help="a JSON object: what was written to --output")


def _add_import(commands: Any) -> None:
    reading = _command(commands, "import", "read other tools' files into the spool")
    reading.add_argument(
        "files", nargs="+", metavar="FILE", help="OTLP, Jaeger or Zipkin; .gz, too; - is standard input"
    )
    reading.add_argument("--format", choices=_FORMATS[:-2], help="the format (default: what is found inside)")
    reading.add_argument("--json", action="store_true", help="a JSON list: what became of each file")


def _add_serve(commands: Any) -> None:
    serve = _command(commands, "serve", "show the traces of the spool in a browser")
    serve.add_argument(
        "--port", type=_port, default=4320, metavar="PORT", help="the page's port, 0 for any free one (default: 4320)"
    )
    serve.add_argument(
        "--otlp", type=_port, metavar="PORT", help="receive OTLP/HTTP here, too; exporters send to 4318 by default"
    )
    serve.add_argument(
        "--max-bytes",
        type=_size,
        default=argparse.SUPPRESS,
        metavar="SIZE",
        help="delete the oldest spans beyond it, such as 2GiB (default: FASTTRACE_SPOOL_MAX_BYTES, or 512MiB)",
    )
    serve.add_argument(
        "--max-age",
        type=_age,
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


def _add_doctor(commands: Any) -> None:
    doctor = _command(commands, "doctor", "check installation, settings, receiver and disk; changes nothing")
    doctor.add_argument("--offline", action="store_true", help="do not touch the network")
    doctor.add_argument(
        "--timeout", type=_seconds, default=5.0, metavar="S", help="seconds to wait for the receiver (default: 5)"
    )
    doctor.add_argument("--json", action="store_true", help="a JSON object")


def _add_bench(commands: Any) -> None:
    bench = _command(
        commands, "bench", "measure what tracing costs on this machine, both cores side by side", spool=False
    )
    bench.add_argument("--seconds", type=_seconds, default=8.0, metavar="S", help="for how long (default: 8)")
    bench.add_argument("--json", action="store_true", help="a JSON object")


_SAMPLING_EXAMPLES = """\
examples:
  fasttrace sampling boost 100% --for 10m     every trace for ten minutes, then as before
  fasttrace sampling ratio 5%                 another ratio until further notice
  fasttrace sampling recall --seconds 30      what was dropped in the last 30 s, as far as it is still held
  fasttrace sampling recall 4bf92f3577b34da6a3ce929d0e0e4736
  fasttrace sampling show                     what is asked now
  fasttrace sampling reset                    as configured

It speaks to every process that follows the same control file, within a second or two. Run it as their user.
"""


def _add_sampling(commands: Any) -> None:
    sampling = _command(commands, "sampling", "change sampling in running processes", spool=False)
    sampling.epilog = _SAMPLING_EXAMPLES
    actions = sampling.add_subparsers(dest="action", metavar="action", required=True)

    def action(name: str, help_text: str) -> Parser:
        added = _command(actions, name, help_text, spool=False)
        added.add_argument(
            "--file",
            metavar="PATH",
            help="the control file that they follow (default: FASTTRACE_CONTROL_FILE, or the one of this user)",
        )
        return added

    boost = action("boost", "record at least this share of traces for a while, then as before")
    boost.add_argument("ratio", type=_share, metavar="RATIO", help="a number from 0 to 1, or a percentage")
    boost.add_argument(
        "--for", dest="seconds", type=_time, default=600.0, metavar="TIME", help="such as 90s, 10m or 1h (default: 10m)"
    )
    ratio = action("ratio", "record this share of traces until further notice")
    ratio.add_argument("ratio", type=_share, metavar="RATIO", help="a number from 0 to 1, or a percentage")
    recall = action("recall", "hand out dropped traces that are still held")
    recall.add_argument("trace_ids", type=_trace_id, nargs="*", metavar="TRACE_ID", help="32 hexadecimal digits")
    recall.add_argument("--seconds", type=_time, metavar="TIME", help="all of the last seconds, such as 30 or 2m")
    show = action("show", "say what is asked now")
    show.add_argument("--json", action="store_true", help="a JSON object")
    action("reset", "ask for nothing: every process samples as configured")
    sampling.command_names = list(actions.choices)


def _add_collector_config(commands: Any) -> None:
    config = _command(
        commands, "collector-config", "print an OpenTelemetry Collector configuration with your tail rules", spool=False
    )
    config.add_argument(
        "--tier",
        choices=("agent", "load-balancer", "sampler", "both", "jaeger", "tempo"),
        default="both",
        help="a Collector beside the applications, the first tier, the second, both of these (the default), or a store",
    )
    config.add_argument(
        "--tail",
        metavar="RULES",
        help="such as latency=2s,error,baseline=1%% (default: FASTTRACE_TAIL, or the usual ones)",
    )
    config.add_argument(
        "--endpoint",
        metavar="URL",
        help="where an agent sends spans (default: load-balancer:4317), a sampler kept traces (default: backend:4317): "
        "host:port for OTLP/gRPC without TLS, dns:NAME for all addresses of a name, an http:// or https:// URL for "
        "OTLP/HTTP; several with commas between",
    )
    config.add_argument(
        "--samplers",
        default="sampler-1:4317,sampler-2:4317",
        metavar="HOSTS",
        help="the second tier, host:port with commas between, or dns:NAME for all addresses of a name",
    )
    config.add_argument(
        "--keep-sampled", action="store_true", help="keep what a head sampler has chosen; see the comment in the output"
    )
    config.add_argument(
        "--decision-wait",
        type=_time,
        default=30.0,
        metavar="TIME",
        help="from the first span of a trace to its decision (default: 30s)",
    )
    config.add_argument(
        "--num-traces",
        type=_count,
        default=50_000,
        metavar="N",
        help="traces that wait in one sampler, at most (default: 50000; what fasttrace sizing says)",
    )
    config.add_argument(
        "--data-dir", metavar="DIR", help="a folder for spans that wait, in a store for traces (default: in memory)"
    )
    config.add_argument(
        "--queue-size",
        type=_size,
        metavar="SIZE",
        help="spans that wait for one receiver (default: 100MB in memory, 1GB in a folder)",
    )
    config.add_argument("--health", metavar="HOST:PORT", help="answer probes there (default: nowhere)")
    config.add_argument(
        "--metrics", metavar="HOST:PORT", help="its own figures for Prometheus (default: localhost:8888)"
    )


def _add_sizing(commands: Any) -> None:
    sizing = _command(commands, "sizing", "count the Collectors, their memory and disks for a load", spool=False)
    sizing.add_argument(
        "--spans", type=_amount, required=True, metavar="N", help="spans per second, of all applications"
    )
    sizing.add_argument(
        "--spans-per-trace", type=_amount, default=20.0, metavar="N", help="spans of a trace, the mean (default: 20)"
    )
    sizing.add_argument(
        "--span-bytes", type=_count, default=300, metavar="N", help="bytes of an encoded span, the mean (default: 300)"
    )
    sizing.add_argument("--nodes", type=_count, default=3, metavar="N", help="machines with an agent (default: 3)")
    sizing.add_argument(
        "--decision-wait",
        type=_time,
        default=30.0,
        metavar="TIME",
        help="from the first span of a trace to its decision (default: 30s)",
    )
    sizing.add_argument(
        "--kept",
        type=_share,
        default=0.05,
        metavar="RATIO",
        help="share of spans that the tail rules keep (default: 5%%)",
    )
    sizing.add_argument(
        "--outage", type=_time, default=600.0, metavar="TIME", help="how long spans wait on disk (default: 10m)"
    )
    sizing.add_argument(
        "--sampler-memory", type=_size, default=2 << 30, metavar="SIZE", help="memory of one sampler (default: 2GiB)"
    )
    sizing.add_argument("--json", action="store_true", help="a JSON object")
