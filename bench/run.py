"""Bench: Mailstead beside Postfix (+opendkim) and Haraka in the same run, on loopback, fsync on all sides.

    python bench/run.py [--quick] [-m 3000] [--reps 3] [--rate 80]

The drivers are not part of this repository: ``MAILSTEAD_BENCH_DRIVERS`` names their folder, by default
``../shared/bench``.  Installs nothing; says what is missing and measures the rest.  Prints one table, the latency of
the ``250``, and whether the aims of the project are met; exit status 1 if one that could be measured is not.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import idle

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
HARAKA = ROOT / "build" / "haraka" / "node_modules" / ".bin" / "haraka"
MAILSTEAD = str(HERE / "peers" / "mailstead")
TWO = f"{MAILSTEAD}@MODE=dkim2"
LABELS = {MAILSTEAD: "mailstead", TWO: "mailstead, two signatures"}

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Aim:
    """What the project promises of a ratio: at least ``least`` times the peer, ``wanted`` if all goes well."""

    mode: str
    peer: str
    least: float
    wanted: float


AIMS = (Aim("accept", "postfix", 2.5, 3.5), Aim("dkim", "postfix", 3.0, 4.5))
READY_SECONDS = 1.5
IDLE_MIB = 80
LOADED_MIB = 150


# -- what is there -----------------------------------------------------------------------------------------------------


def drivers() -> Path:
    """The folder of bench.py and latency.py; ends the program if it is not there."""
    folder = Path(os.environ.get("MAILSTEAD_BENCH_DRIVERS") or ROOT.parent / "shared" / "bench")
    if not (folder / "bench.py").is_file():
        sys.exit(f"no benchmark drivers at {folder}: set MAILSTEAD_BENCH_DRIVERS to their folder")
    return folder


def peers() -> list[str]:
    """Who can take part, Mailstead last; what is missing is said."""
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    os.environ.setdefault("HARAKA", str(HARAKA))
    for tool in ("smtp-source", "smtp-sink"):
        if not shutil.which(tool):
            sys.exit(f"{tool} is missing: install the Debian package postfix")
    found = []
    if os.geteuid():
        say("not root: Postfix cannot be started, it is left out")
    elif not shutil.which("postfix") or not shutil.which("opendkim"):
        say("postfix or opendkim is missing (Debian packages of these names): left out")
    else:
        found.append("postfix")
    if not Path(os.environ["HARAKA"]).exists():
        say("haraka is missing (`make bench` installs it where npm is): left out")
    else:
        found.append("haraka")
    return [*found, MAILSTEAD]


def say(text: str) -> None:
    """A line for the one who waits."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


# -- measuring ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    messages: int
    reps: int
    rate: float
    """Messages a second of the latency run."""


def drive(folder: Path, who: Sequence[str], modes: Sequence[str], plan: Plan, *more: str, port: int) -> list[Row]:
    """Run the driver; one row a run, failed ones with ``error``. The order of peers alternates from round to round."""
    say(f"{', '.join(modes)} {' '.join(more)}".strip())
    with tempfile.TemporaryDirectory(prefix="mailstead-bench-") as name:
        Path(name).chmod(0o755)  # Postfix and the sink become other users
        answers = Path(name) / "rows.json"
        command = [sys.executable, str(folder / "bench.py"), "--peers", ",".join(who), "--modes", ",".join(modes)]
        command += ["--reps", str(plan.reps), "--tmp", f"{name}/tmp", "--json", str(answers), "--port", str(port)]
        subprocess.run([*command, *more], check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        return [json.loads(line) for line in answers.read_text().splitlines()]


def measure(folder: Path, who: list[str], plan: Plan) -> tuple[list[Row], list[Row]]:
    """Rows of the runs at full speed, and of those at a steady rate."""
    rows: list[Row] = []
    port = 23000
    for session in ([], ["--persistent"]):
        count = ["-m", str(plan.messages), *session]
        rows += drive(folder, who, ["accept", "relay"], plan, *count, port=port)
        rows += drive(folder, [*who, TWO], ["dkim"], plan, *count, port=port + 200)
        port += 400
    steady = ["-m", str(int(plan.rate * 10)), "--latency", f"{plan.rate:g}"]
    return rows, drive(folder, who, ["accept", "dkim"], plan, *steady, port=port)


# -- telling -----------------------------------------------------------------------------------------------------------


def label(row: Row) -> str:
    """The name of a peer in the tables."""
    peer: str = row["peer"]
    name = LABELS.get(peer, peer)
    return "postfix + opendkim" if name == "postfix" and row["mode"] == "dkim" else name


def rate(row: Row) -> float:
    """Messages a second: until all are answered, or until the last has arrived."""
    seconds: float = row["accept_s"] if row["mode"] == "accept" else row["total_s"]
    return float(row["m"]) / seconds


def lost(row: Row) -> int:
    """Answered messages that are neither queued nor delivered."""
    kept: int = row["queued"] if row["mode"] == "accept" else row["delivered"] + row["queued"]
    return max(0, int(row["m"]) - kept)


def median(values: Iterable[float]) -> float:
    """The median; nothing measured is NaN."""
    return statistics.median([*values] or [float("nan")])


def groups(rows: Iterable[Row]) -> dict[tuple[bool, str], dict[str, list[Row]]]:
    """Rows by (kept sessions, mode), then by peer."""
    found: dict[tuple[bool, str], dict[str, list[Row]]] = {}
    for row in rows:
        found.setdefault((row["persistent"], row["mode"]), {}).setdefault(row["peer"], []).append(row)
    return found


def good(rows: Iterable[Row]) -> list[Row]:
    """The runs that did not fail."""
    return [row for row in rows if "error" not in row]


def ratio(by_peer: dict[str, list[Row]], peer: str) -> float:
    """Mailstead's speed over a peer's."""
    return median(map(rate, good(by_peer[MAILSTEAD]))) / median(map(rate, good(by_peer.get(peer, []))))


def show_speed(rows: list[Row]) -> None:
    """The table of full speed."""
    print("| sessions | mode | peer | msg/s | Mailstead/peer | CPU s/1000 | peak MiB | failed runs | lost |")
    print("|---|---|---|---|---|---|---|---|---|")
    for (kept, mode), by_peer in groups(rows).items():
        for peer, runs in by_peer.items():
            fine = good(runs)
            speed, cpu = median(map(rate, fine)), median(row["cpu"] * 1000 / row["m"] for row in fine)
            memory = median(row["pss"] / 2**20 for row in fine)
            cells = [
                "kept" if kept else "one each",
                mode,
                label(runs[0]),
                f"{speed:.0f}",
                f"{ratio(by_peer, peer):.2f}",
                f"{cpu:.2f}",
                f"{memory:.0f}",
                str(len(runs) - len(fine)),
                str(sum(map(lost, fine))),
            ]
            print(f"| {' | '.join(cells)} |")


def show_latency(rows: list[Row], plan: Plan) -> None:
    """The table of latency."""
    print(f"\n{plan.rate:g} messages a second, a connection each; milliseconds\n")
    print("| mode | peer | connect to 250 p50 | p99 | dot to 250 p50 | p99 | CPU s/1000 | errors |")
    print("|---|---|---|---|---|---|---|---|")
    for (_, mode), by_peer in groups(rows).items():
        for runs in by_peer.values():
            fine = good(runs)
            figures = [median(row[key] or float("nan") for row in fine) for key in ("p50", "p99", "dot_p50", "dot_p99")]
            cpu = median(row["cpu"] * 1000 / row["m"] for row in fine)
            errors = sum(row["errors"] for row in fine) + len(runs) - len(fine)
            cells = [mode, label(runs[0]), *(f"{figure:.1f}" for figure in figures), f"{cpu:.2f}", str(errors)]
            print(f"| {' | '.join(cells)} |")


def judge(name: str, value: float | None, shown: str, *, met: bool, wanted: str) -> bool:
    """Say whether an aim is met; what was not measured counts as met and is said."""
    unknown = value is None or value != value
    verdict = "not measured" if unknown else "pass" if met else "FAIL"
    print(f"| {name} | {'-' if unknown else shown} | {wanted} | {verdict} |")
    return unknown or met


def show_aims(rows: list[Row], found: idle.Idle) -> bool:
    """The table of aims. Are all met?"""
    print("\n| aim | measured | wanted | |\n|---|---|---|---|")
    met = []
    by = groups(rows)
    for aim in AIMS:
        times = ratio(by[False, aim.mode], aim.peer)
        name = f"{aim.mode}: times {label({'peer': aim.peer, 'mode': aim.mode})}"
        wanted = f"≥ {aim.least:g}, aim {aim.wanted:g}"
        met.append(judge(name, times, f"{times:.2f}", met=times >= aim.least, wanted=wanted))
    figures = (
        ("ready after, s", found.ready, READY_SECONDS),
        ("memory idle, MiB", found.idle, IDLE_MIB),
        (f"memory with {found.queued} queued, 20 sessions, MiB", found.loaded, LOADED_MIB),
    )
    for name, value, limit in figures:
        ok = value is None or value < limit
        met.append(judge(name, value, f"{value or 0:.4g}", met=ok, wanted=f"< {limit:g}"))
    missing = sum(lost(row) for row in good(rows) if row["peer"] in LABELS)
    met.append(judge("answered messages lost", float(missing), str(missing), met=missing == 0, wanted="0"))
    return all(met)


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-m", "--messages", type=int, default=3000, help="messages of a run [3000]")
    parser.add_argument("--reps", type=int, default=3, help="rounds; medians are shown [3]")
    parser.add_argument("--rate", type=float, default=80, help="messages a second of the latency run [80]")
    parser.add_argument("--quick", action="store_true", help="one round of 1000 messages, 2,000 queued")
    given = parser.parse_args()
    plan = Plan(1000, 1, given.rate) if given.quick else Plan(given.messages, given.reps, given.rate)
    folder, who = drivers(), peers()
    rows, steady = measure(folder, who, plan)
    say("idle, and memory with a full queue")
    found = idle.measure(queued=2000 if given.quick else 10_000, reps=plan.reps)
    print(f"\n{plan.messages} messages of 4 KiB, 20 sessions, medians of {plan.reps}\n")
    show_speed(rows)
    show_latency(steady, plan)
    return 0 if show_aims(rows, found) else 1


if __name__ == "__main__":
    sys.exit(main())
