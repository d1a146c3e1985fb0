"""Each rule finds a breach when there is one, and keeps quiet when there is none."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from peers.ground import ROOT
from structure import rules

Rule = Callable[[str, str], Iterator[str]]
SRC = "src/mailstead/proto/x.py"
BAD: list[tuple[Rule, str, str]] = [
    (rules.breaks_docstring, SRC, "import os\n"),
    (rules.breaks_names, "src/mailstead/proto/smtp_utils.py", '"""x"""\n'),
    (rules.breaks_names, SRC, "class QueueManager: ...\n"),
    (rules.breaks_names, SRC, "class ParseHelper: ...\n"),
    (rules.breaks_time, SRC, "import time\nnow = time.time()\n"),
    (rules.breaks_time, SRC, "import datetime\nnow = datetime.datetime.now(tz=None)\n"),
    (rules.breaks_time, SRC, "from time import monotonic\n"),
    (rules.breaks_time, SRC, "import time\ntime.sleep(1)\n"),
    (rules.breaks_time, SRC, "async def f():\n    x = 1\n    await asyncio.sleep(1)\n"),
    (rules.breaks_sleep, "tests/proto/test_x.py", "import time\ntime.sleep(1)\n"),
    (rules.breaks_sql, "src/mailstead/aws/x.py", 'q = "SELECT a FROM b WHERE c = 1"\n'),
    (rules.breaks_sql, "src/mailstead/aws/x.py", 'q = f"""\n  INSERT INTO {t} VALUES (1)"""\n'),
    (rules.breaks_sql, "src/mailstead/aws/x.py", 'q = "UPDATE t SET a = 1 WHERE b = 2"\n'),
    (rules.breaks_places, "docs/x.md", "see /wo" + "rk/shared/style.md\n"),
    (rules.breaks_places, "Makefile", "x = /ro" + "ot/.pyenv\n"),
]
GOOD: list[tuple[Rule, str, str]] = [
    (rules.breaks_docstring, SRC, '"""SMTP replies."""\n'),
    (rules.breaks_names, SRC, "def commonly(): ...\nclass Pacing: ...\n"),
    (rules.breaks_time, rules.CLOCK, "import time\nnow = time.time()\n"),
    (rules.breaks_time, SRC, "async def f():\n    await asyncio.sleep(1)  # one turn of the warm-up\n"),
    (rules.breaks_time, SRC, "async def f(clock):\n    await asyncio.sleep(0)\n    return clock.now()\n"),
    (rules.breaks_time, SRC, "async def f():\n    await asyncio.sleep(BEAT)\n"),
    (rules.breaks_sql, "src/mailstead/proto/imap.py", 'a = ["SELECT", "CREATE", "DELETE"]\nb = "UPDATE is done"\n'),
    (rules.breaks_sql, "src/mailstead/ses/x.py", 'q = "SELECT a FROM b WHERE c = 1"\n'),
    (rules.breaks_places, "docs/x.md", "https://example.org/wo" + "rk/x and homework/x\n"),
]


@pytest.mark.parametrize(("rule", "path", "text"), BAD)
def test_a_breach_is_found(rule: Rule, path: str, text: str) -> None:
    assert list(rule(path, text))


@pytest.mark.parametrize(("rule", "path", "text"), GOOD)
def test_what_is_right_passes(rule: Rule, path: str, text: str) -> None:
    assert list(rule(path, text)) == []


def test_a_circle_is_found() -> None:
    files = {
        "mailstead.ses.a": "from mailstead.ses.b import x",
        "mailstead.ses.b": "from mailstead.ses import c",
        "mailstead.ses.c": "def f():\n    import mailstead.ses.a",
        "mailstead.ses.d": "from mailstead.ses import a",
    }
    (way,) = rules.circles(rules.imports_within("mailstead.ses", files))
    assert way == ["mailstead.ses.a", "mailstead.ses.b", "mailstead.ses.c", "mailstead.ses.a"]
    del files["mailstead.ses.c"]
    assert rules.circles(rules.imports_within("mailstead.ses", files)) == []


def test_an_rfc_without_a_row_and_a_stale_page_are_found(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("standards", ROOT / "tools/make_standards_page.py")
    assert spec
    assert spec.loader
    standards = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(standards)
    source = tmp_path / "x.py"
    source.write_text("# RFC 5321 §4.5.3.1.8 and RFC 99999\n")
    cited = standards.citations([source], tmp_path)
    assert cited == {5321: ["x.py"], 99999: ["x.py"]}
    assert standards.unknown(cited) == ["RFC 99999 has no row in tools/make_standards_page.py (cited in x.py)"]
    assert "| SMTP | yes | `x.py` |" in standards.page(cited)
