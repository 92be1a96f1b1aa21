"""What our commands have in common: quiet libraries, one line an error, an exit code each."""

import io
import logging
import os
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable

from common.reproduce.execute.interrupts import Interrupted, raised

HOLD, FAIL, BAD, STOPPED = 0, 1, 2, 3
_INTERRUPTED = 130

# Lines of the libraries' C++ that say nothing to the user, given to `python -c`. What TensorFlow
# writes before it reads TF_CPP_MIN_LOG_LEVEL, and its error where there is no GPU.
_FILTER = r"""
import re, sys
noise = re.compile(
    rb"WARNING: All log messages before absl::InitializeLog|[IW]\d{4} |\d{4}-\d\d-\d\d .*: [IW] "
    rb"|To enable the following instructions|E\d{4} .*(failed call to cuInit|Unable to register "
    rb"cu|Failed to call cuInit)"
)
out = sys.stdout.buffer
for line in sys.stdin.buffer:
    if not noise.match(line):
        out.write(line)
        out.flush()
"""


def run_command(main: Callable[[], int]) -> int:
    """Runs `main` and returns the exit code; `--verbose` shows tracebacks and the libraries' logs.

    Returns:
        What `main` does: 0 if every claim that was run holds, 1 if some do not; 2 for bad
        arguments or files, a `ValueError`; 3 for anything else that stops it; 128 and its number
        after a signal.
    """
    verbose = "--verbose" in sys.argv[1:]
    _write_utf8()
    if not verbose:
        quiet()
    try:
        with raised():
            code = main()
            sys.stdout.flush()  # while somebody minds that nobody reads on
            return code
    except Interrupted as interrupted:
        command = "the same command" + " without --rerun" * ("--rerun" in sys.argv[1:])
        saved = interrupted.saved or "what was saved before stays"
        _say(f"Interrupted: {saved}" + f"; {command} goes on from there" * interrupted.again + ".")
        return 128 + interrupted.number
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:  # of `| head`: nobody reads on, which is no error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return HOLD
    except Exception as error:
        return _report(error, verbose)


def _write_utf8() -> None:
    """Makes output to files and pipes UTF-8, which on Windows lacks characters otherwise."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and not stream.isatty():
            stream.reconfigure(encoding="utf-8")


def _report(error: Exception, verbose: bool) -> int:
    from common.reproduce.execute.processes import ProcessError

    if verbose:
        traceback.print_exception(error)
    if isinstance(error, ProcessError):
        return error.code
    text = " ".join(str(error).split())
    if isinstance(error, ValueError):
        _say(text)
        return BAD
    named = text if isinstance(error, RuntimeError) else f"{type(error).__name__}: {text}"
    _say(f"{named} (--verbose shows where)")
    return STOPPED


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def quiet() -> None:
    """Keeps the libraries' logs from standard error, in this process before it imports them.

    What they write from C++ goes through a process of its own, so that the last words of one that
    crashes are not lost. Errors pass.
    """
    if "keras" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    for name in ("absl", "tensorflow", "jax"):
        logging.getLogger(name).setLevel(logging.ERROR)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    ours = os.dup(2)
    reader = subprocess.Popen(
        [sys.executable, "-S", "-E", "-c", _FILTER],
        stdin=subprocess.PIPE,
        stdout=ours,
        # A Ctrl-C at the terminal is not for it: by the first on POSIX, by the second on Windows.
        start_new_session=True,
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
    )
    assert reader.stdin is not None, "it is a pipe"
    os.dup2(reader.stdin.fileno(), 2)
    reader.stdin.close()
    sys.stderr = os.fdopen(ours, "w", buffering=1, errors="backslashreplace")
