"""The operator's command `album`, loaded once and called often; each call is a fork, and sees nothing of another."""

import json
import os
import sys

from shared.kit import command


def _call(words: list[str], environment: dict[str, str], printed: str) -> int:
    """Run one command in a process of its own; what it prints goes into a file; gives its exit code."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    out = os.open(printed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["album", *words]
    code = 1
    try:
        command.main()
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else int(bool(left.code))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _serve() -> None:
    command.services()
    for line in sys.stdin:
        asked = json.loads(line)
        print(_call(asked["words"], asked["environment"], asked["printed"]), flush=True)  # noqa: T201 - the answer


if __name__ == "__main__":
    _serve()
