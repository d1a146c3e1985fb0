"""The program as a shell sees it: versions, help, usage errors, exit statuses, one line for an error, no traces."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import mailstead
from mailstead.cli import COMMANDS

GROUPS = {
    "account": ("create", "list", "show", "set", "review", "pause", "resume", "close", "reopen"),
    "key": ("create", "list", "delete"),
    "identity": ("list", "verify"),
    "ip": ("list", "assign", "release"),
    "dns": ("check", "records"),
    "events": ("list",),
    "principal": ("create", "list", "policy"),
    "queue": ("list", "show", "retry", "hold", "release", "delete"),
}
ALL = [(name,) for name in COMMANDS] + [(name, verb) for name, verbs in GROUPS.items() for verb in verbs]


def shell(*arguments: str, cwd: Path | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MAILSTEAD_")}
    command = [sys.executable, "-m", "mailstead", *arguments]
    return subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=cwd, env=clean | environ, timeout=60
    )


def test_version() -> None:
    done = shell("version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"mailstead {mailstead.__version__} ")
    assert json.loads(shell("version", "--json").stdout)["version"] == mailstead.__version__


def test_version_answers_at_once() -> None:
    """Budget 150 ms; measured twice over here, since the machine may be busy."""

    def seconds() -> float:
        start = time.perf_counter()
        shell("version")
        return time.perf_counter() - start

    assert min(seconds() for _ in range(5)) < 0.3


def test_version_loads_nothing_heavy() -> None:
    code = (
        "import sys; from mailstead.cli import main; main(['version'])\n"
        "heavy = {'asyncio', 'apsw', 'cryptography', 'rich', 'dns', 'uvicorn', 'msgspec'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_help_lists_every_command() -> None:
    done = shell("--help")
    assert done.returncode == 0
    assert all(f"\n  {name} " in done.stdout for name in COMMANDS)


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_help_teaches_by_an_example(words: tuple[str, ...], run: object) -> None:
    done = run(*words, "--help")  # type: ignore[operator]
    assert done.status == 0
    assert done.err == ""
    if words[0] not in GROUPS or len(words) > 1:
        assert f"\n  mailstead {' '.join(words)}" in done.out or f"| mailstead {' '.join(words)}" in done.out
        for option in ("--data", "--config", "--set", "--json"):
            assert option in done.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["acount"], "Did you mean 'account'?"),
        (["account", "create", "--quote", "x"], "--quota"),
        (["trace"], "MESSAGE_ID"),
        (["account", "review", "000000000000"], "--grant"),
        (["queue", "list", "--state", "lost"], "queued"),
        (["events", "list", "--limit", "0"], "--limit"),
    ],
)
def test_wrong_usage_is_one_line_and_2(arguments: list[str], said: str, tmp_path: Path) -> None:
    done = shell(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("mailstead: ")
    assert done.stderr.count("\n") == 1
    assert said in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["account", "list"], "there is no installation at"),
        (["check", "--set", "delivery.port=x"], ""),
        (["serve", "--set", "delivery.mod=direct"], "did you mean delivery.mode?"),
        (["serve", "--roles", "cook"], "roles:"),
        (["account", "list", "--config", "none.toml"], "cannot read the configuration"),
        (["account", "create", "12"], "12 digits"),
        (["key", "create", "--policy", "none.json"], "--user"),
        (["send", "--to", "a@b.example"], "--from"),
    ],
)
def test_an_error_is_one_line_and_1(arguments: list[str], said: str, tmp_path: Path) -> None:
    done = shell(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    if said:
        assert done.stderr.startswith("mailstead: ")
        assert done.stderr.count("\n") == 1
        assert said in done.stderr


def test_the_environment_reaches_commands(tmp_path: Path) -> None:
    done = shell("account", "list", MAILSTEAD_DELIVERY_PROT="1", MAILSTEAD_DATA=str(tmp_path))
    assert done.returncode == 1
    assert "did you mean MAILSTEAD_DELIVERY_PORT?" in done.stderr


def test_an_unexpected_error_is_one_line_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "mailstead.db").write_bytes(b"no database" * 100)
    (tmp_path / "blobs").write_text("no folder")
    done = shell("account", "list", "--data", str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.startswith("mailstead: ")
    assert done.stderr.count("\n") == 1


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MAILSTEAD_")}
    child = subprocess.Popen(
        [sys.executable, "-m", "mailstead", "version"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean
    )
    assert child.stdout is not None
    child.stdout.close()
    assert child.stderr is not None
    with child.stderr:
        assert b"Traceback" not in child.stderr.read()
    child.wait(timeout=30)
