"""`make fuzz`: tries every service and prints what was run and found; ends with 1 where there is a fault."""

import sys
import tempfile
from pathlib import Path

from shared.embedded.redis import RedisServer
from tests.fuzz.engine import try_out
from tests.fuzz.ground import prepare
from tests.fuzz.seeds import SEEDS


def main(cases: int, names: list[str]) -> int:
    """Try the services one after the other; give how many faults there are."""
    faults = 0
    with tempfile.TemporaryDirectory(prefix="album-fuzz-") as folder, RedisServer(Path(folder) / "redis") as redis:
        for name in names:
            # What a service told before is nobody's any more, and its log answers no reader of the next one.
            redis.wipe()
            verdict = try_out(prepare(name, redis.url, Path(folder)), cases)
            phases = ", ".join(f"{phase} {count}" for phase, count in verdict.cases.items())
            print(f"{name}: {verdict.total} cases ({phases}), {len(verdict.faults)} faults")  # noqa: T201
            print("\n".join(verdict.faults))  # noqa: T201
            faults += len(verdict.faults) + (verdict.total < cases)
    return faults


if __name__ == "__main__":
    sys.exit(1 if main(int(sys.argv[1]), sys.argv[2:] or list(SEEDS)) else 0)
