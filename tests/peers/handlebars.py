"""Handlebars of npm: what the language's own makers render, in a node process that answers line by line."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

from peers.ground import NODE_PATH, lacking, program

_SCRIPT = """
let Handlebars;
try { Handlebars = require('handlebars') } catch (error) { console.log('"missing"'); process.exit(0) }
// What noEscape does to numbers ({{1}}{{2}} is 3) is not meant: this is the way without escaping that is.
Handlebars.Utils.escapeExpression = value => value == null ? '' : String(value);
console.log('"ready"');
require('readline').createInterface({input: process.stdin}).on('line', line => {
  const {template, data} = JSON.parse(line);
  let answer;
  try { answer = {text: Handlebars.compile(template)(data)} }
  catch (error) { answer = {error: String(error.message)} }
  console.log(JSON.stringify(answer));
})
"""


class Handlebars:
    """``with Handlebars() as judge: judge.render("{{x}}", {"x": 1})``; skipped where it is not installed."""

    def __enter__(self) -> Handlebars:
        self._process = subprocess.Popen(
            [program("node"), "-e", _SCRIPT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "NODE_PATH": NODE_PATH},
        )
        if self._answer() != "ready":
            self.__exit__()
            lacking("handlebars is not installed (make test as root installs it)")
        return self

    def __exit__(self, *raised: object) -> None:
        self._process.kill()
        self._process.communicate()

    def _answer(self) -> Any:
        assert self._process.stdout
        line = self._process.stdout.readline()
        return json.loads(line) if line else None

    def render(self, template: str, data: Any) -> dict[str, str]:
        """``{"text"}`` or ``{"error"}``, nothing escaped."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"template": template, "data": data}).encode() + b"\n")
        self._process.stdin.flush()
        answer: dict[str, str] = self._answer()
        return answer
