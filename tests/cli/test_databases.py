"""Every command that reads or steers mail speaks to both databases."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

Run = Callable[..., Any]


def test_commands_on_each_database(run: Run, database_url: str, tmp_path: Path) -> None:
    on = ("--json", "--set", f"storage.database={database_url}", "--set", "quota.new_account=unlimited")
    assert run("identity", "verify", "example.com", *on).json["status"] == "SUCCESS"
    (tmp_path / "hello.txt").write_text("hello")
    to = ("--to", "x@a.example", "--to", "y@b.example")
    text = ("--text", str(tmp_path / "hello.txt"))
    sent = run("send", "--from", "ann@example.com", *to, *text, *on).json["message"]
    assert sum(row["waiting"] for row in run("queue", "list", *on).json) == 2
    assert [row["recipient"] for row in run("queue", "list", "--to", "b.example", *on).json] == ["y@b.example"]
    assert run("queue", "hold", sent, *on).json == {"held": 2}
    assert {row["state"] for row in run("queue", "show", sent, *on).json} == {"held"}
    assert run("queue", "release", "--recipient", "x@a.example", *on).json == {"released": 1}
    assert run("queue", "retry", "--account", "000000000000", *on).json["destinations"] == 1
    assert run("queue", "delete", "--state", "held", *on).json == {"deleted": 1}
    trace = run("trace", sent, *on).json
    assert [one["state"] for one in trace["deliveries"]] == ["queued", "deleted"]
    assert [row["kind"] for row in run("events", "list", "--message", sent, "--kind", "send", *on).json] == ["Send"]
    assert [row["access_key"] for row in run("key", "list", *on).json]
    assert run("account", "show", "000000000000", *on).json["regions"][0]["sent_24h"] == 2
    assert run("dns", "records", "example.com", *on).json[0]["type"] == "TXT"
