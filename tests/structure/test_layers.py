"""A package imports only what stands below it, and the check notices when one does not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from peers.ground import ROOT

pytestmark = pytest.mark.slow


def lint(config: Path, source: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("lint-imports")
    env = {**os.environ, "PYTHONPATH": str(source)}
    words = [str(program), "--config", str(config), "--no-cache"]
    return subprocess.run(words, cwd=source, env=env, capture_output=True, text=True, timeout=60, check=False)


def test_the_layers_hold() -> None:
    done = lint(ROOT / "pyproject.toml", ROOT / "src")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("base/errors.py", "import mailstead.proto.sasl"),
        ("proto/sasl.py", "import socket"),
        ("proto/sasl.py", "import time"),
        ("store/port.py", "import mailstead.net.dns"),
        ("ses/x.py", "import mailstead.outbound.y"),
    ],
)
def test_an_import_upwards_is_found(file: str, line: str, tmp_path: Path) -> None:
    settings = (ROOT / "pyproject.toml").read_text()
    package = re.search(r'root_package = "(\w+)"', settings)
    assert package
    for folder in set(re.findall(r"mailstead\.(\w+)", settings)):
        (tmp_path / "sample" / folder).mkdir(parents=True)
        (tmp_path / "sample" / folder / "__init__.py").touch()
    (tmp_path / "sample/__init__.py").touch()
    for name in ("base/clock.py", "proto/sasl.py", "net/dns.py", "outbound/y.py"):
        (tmp_path / "sample" / name).write_text("import time\n" if "clock" in name else "")
    (tmp_path / "pyproject.toml").write_text(
        settings.replace(f'"{package[1]}', '"sample').replace("mailstead.", "sample.")
    )
    good = lint(tmp_path / "pyproject.toml", tmp_path)
    assert good.returncode == 0, good.stdout + good.stderr
    (tmp_path / "sample" / file).write_text(line.replace("mailstead.", "sample.") + "\n")
    bad = lint(tmp_path / "pyproject.toml", tmp_path)
    assert bad.returncode == 1, bad.stdout + bad.stderr
    assert "BROKEN" in bad.stdout
