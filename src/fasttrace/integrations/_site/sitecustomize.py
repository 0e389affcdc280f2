"""What every Python that `fasttrace run` starts imports first: sets up tracing, makes way for another sitecustomize.

It may be found by any Python there is, with fasttrace or without, as old as 2.7: its syntax is theirs.
"""

import os
import sys


def _line(text):
    try:
        sys.stderr.write("fasttrace: " + text + "\n")
        sys.stderr.flush()
    except Exception:
        pass  # no standard error: nobody to tell


def _run_the_other():
    """The sitecustomize that would have been found without us; its errors are site's to report."""
    here = os.path.realpath(os.path.dirname(os.path.abspath(__file__)))
    # The variable keeps us for the programs that this one starts; the application sees its own path.
    sys.path[:] = [path for path in sys.path if os.path.realpath(path or ".") != here]
    ours = sys.modules.pop("sitecustomize", None)
    try:
        import sitecustomize  # noqa: F401
    except ImportError:
        if "sitecustomize" not in str(sys.exc_info()[1]):
            raise
    finally:
        if ours is not None:
            sys.modules.setdefault("sitecustomize", ours)


def _in_a_subinterpreter():
    """fasttrace records in the main interpreter only; in another one already its import would be told."""
    try:
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters
        current = interpreters.get_current()
    except Exception:
        return False  # a Python that knows no others
    return int(current[0] if isinstance(current, tuple) else current) != 0


def _start():
    if _in_a_subinterpreter():
        return
    try:
        from fasttrace.integrations._startup import start
    except Exception:
        # Of a program of other Pythons the first one says it; one with fasttrace may come later.
        if os.environ.get("FASTTRACE_RUN_ANNOUNCE") == "all":
            os.environ["FASTTRACE_RUN_ANNOUNCE"] = "start"
            _line(
                "%s runs untraced, fasttrace can't be imported there: %s"
                % (sys.executable or "this Python", sys.exc_info()[1])
            )
        return
    start()


try:
    _run_the_other()
finally:
    _start()
