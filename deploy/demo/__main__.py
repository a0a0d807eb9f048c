"""Run the main job: `python -m deploy.demo [--file catalogue.xml] [--once] [--compose (--project P --env-file F)…]`."""

import argparse
import asyncio
import json
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
from rich.console import Console

from deploy.demo.apart import CUT, CutLine, judge_rules, start_again, verify_hub
from deploy.demo.network import ComposeNetwork, Network
from deploy.demo.page import serve, snapshot
from deploy.demo.platform import Compose, Embedded, Platform
from deploy.demo.story import Story
from deploy.demo.verdict import APART, ORDER, faults

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "var" / "demo"
Step = tuple[str, Callable[[], Awaitable[None]]]
console = Console(highlight=False)


def main() -> int:
    """Run the demo; 0 if all is as expected."""
    options = _options()
    platform = _platform(options)
    began = time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # an end by `kill` must stop the services, too
    try:
        with console.status("starting the servers and the services"):
            platform.start()
        return asyncio.run(_run(platform, options, began))
    except KeyboardInterrupt:
        return 130
    finally:
        platform.stop()


def _platform(options: argparse.Namespace) -> Embedded | Compose | ComposeNetwork | Network:
    if options.compose:
        nodes = [Compose(project, file) for project, file in zip(options.project, options.env_file, strict=True)]
        return nodes[0] if len(nodes) == 1 else ComposeNetwork(nodes)
    return Embedded(FOLDER) if options.nodes == 1 else Network(FOLDER, options.nodes)


async def _run(platform: Platform, options: argparse.Namespace, began: float) -> int:
    async with httpx.AsyncClient(timeout=30) as http:
        story = Story(platform, http, lambda line: console.print(f"  {line}"))
        steps = _steps(story, options, platform)
        for number, (title, step) in enumerate(steps, 1):
            with console.status(f"{number}/{len(steps)} {title} …"):
                await step()
            console.print(f"[green]✓[/] {number}/{len(steps)} {title}")
        story.figures["seconds"] = round(time.monotonic() - began, 1)
        code = _summary(story)
        page = await snapshot(story)
        FOLDER.mkdir(parents=True, exist_ok=True)
        (FOLDER / "page.html").write_text(page, "utf-8")
        if not options.once:
            await _show(story)
    return code


def _steps(story: Story, options: argparse.Namespace, platform: Platform) -> list[Step]:
    begin: list[Step] = [
        ("the services start", story.ready),
        ("the office takes institutions in", story.found_network),
        ("an institution imports its catalogue", lambda: story.import_catalogue(options.file)),
        ("25 people ask for 18 seats", story.fill_a_run),
    ]
    end: list[Step] = [
        ("two seats are freed", story.free_two_seats),
        ("a run is cancelled", story.cancel_a_run),
        ("meetings are published", story.publish_meetings),
        ("everything settles", story.settle),
    ]
    if isinstance(platform, ComposeNetwork):
        apart: list[Step] = [
            ("everything starts again", lambda: start_again(story, platform)),
            ("the hub is verified", lambda: verify_hub(story, platform.place_of(CUT))),
            ("the hub's rules are judged", lambda: judge_rules(story, platform.nodes[0])),
        ]
        return [*begin, *end, *apart]
    if not isinstance(platform, Network):
        return [*begin, *end]
    line = CutLine(story, platform)
    middle: list[Step] = [
        ("a line is cut", line.cut),
        ("both sides go on", line.go_on),
        ("the line is mended", line.mend),
    ]
    return [*begin, *middle, *end, ("the hub is verified", lambda: verify_hub(story, platform.nodes[CUT]))]


def _summary(story: Story) -> int:
    FOLDER.mkdir(parents=True, exist_ok=True)
    figures = {name: story.figures[name] for name in (*ORDER, *APART) if name in story.figures}
    (FOLDER / "summary.json").write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    for name, value in figures.items():
        console.print(f"  {name:20} {value}")
    wrong = faults(figures)
    for fault in wrong:
        console.print(f"[red]✗ {fault}[/]")
    return 1 if wrong else 0


async def _show(story: Story) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with serve(story) as address:
        console.print(f"\nWhat everybody sees now: [bold]{address}[/]   (Ctrl-C ends the demo)")
        await stop.wait()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make demo")
    parser.add_argument("--file", type=Path, default=Path(__file__).with_name("catalogue.xml"))
    parser.add_argument("--once", action="store_true")
    parser.add_argument("--nodes", type=int, default=1, choices=(1, 2, 3), help="how many nodes; 1 needs no hub")
    parser.add_argument("--compose", action="store_true")
    parser.add_argument("--project", action="append", help="the compose project of a node; the office's first")
    parser.add_argument("--env-file", type=Path, action="append", help="its environment file")
    options = parser.parse_args()
    if not options.file.is_file():
        parser.error(f"there is no file {options.file}")
    if options.compose:
        options.once = True
    return options


if __name__ == "__main__":
    raise SystemExit(main())
