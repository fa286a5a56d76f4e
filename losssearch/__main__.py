"""The program ``losssearch``, and ``python -m losssearch``: the command line, and how its process ends."""

import atexit
import os
import signal
import sys

from losssearch import stopping


def main() -> int:
    """Run the command line; a signal that asks it to stop is answered from here on, and always with 130."""
    atexit.register(_close_to_signals)  # the first to be registered is the last to be called
    token = stopping.StopToken(ends_program=True)
    stopping.listen(token, at_last=_end_at_once)
    try:
        with stopping.active(token):
            from losssearch.cli.app import main as command_line
            from losssearch.cli.pipes import let_readers_go

            let_readers_go()
            code = command_line()
    except KeyboardInterrupt:
        sys.stderr.write("losssearch: interrupted\n")
        code = 130
    token.settle()  # the interpreter's own end is not broken into
    # CPython notes a KeyboardInterrupt that passes through exec() of a text, as dataclasses have it, and then ends by
    # SIGINT, whoever has caught it since. Evaluating another text takes the note back.
    eval("0")  # noqa: S307  (a constant)
    if stopping.left_behind():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def _close_to_signals() -> None:
    """Ignore what would stop the program: the interpreter takes handlers away while it still has work to do."""
    for number in stopping.SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _end_at_once() -> None:
    os.write(2, b"\nlosssearch: ended at once; what was saved is kept, --resume continues it\n")
    os._exit(130)


if __name__ == "__main__":
    sys.exit(main())
