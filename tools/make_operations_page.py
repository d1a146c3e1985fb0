"""The page of operations: every operation of SES and its state, from the models, the handlers and not_offered.

Writes ``docs/operations.md``; with ``--check`` says whether the page is up to date (exit status 1 if not).
"""

from __future__ import annotations

import sys
from pathlib import Path

from mailstead.aws import model, not_offered
from mailstead.aws.model import Service
from mailstead.aws.operations import HANDLED

PAGE = Path(__file__).resolve().parent.parent / "docs" / "operations.md"

HEAD = """# Operations

Written by `make docs` from the operation tables, the handlers and `src/mailstead/aws/not_offered.py`: do not edit.

- **offered**: works; **in part**: what does not come of it yet.
- **planned**: answers 400 `UnsupportedOperation`, which no SDK retries, until it is built.
- **declined**: answers the same, with the reason given here.

"""

TITLES: dict[model.Name, str] = {
    "ses": "SES v1 (Query, `POST /`)",
    "sesv2": "SES v2 (REST-JSON)",
    "sts": "STS",
    "sns": "SNS, as far as SES and its users need it (Query, `POST /`)",
}


def state(service: str, operation: str) -> str:
    """Offered, perhaps with less than its effect, planned, or declined with its reason."""
    if (service, operation) in HANDLED:
        lack = not_offered.NOT_YET.get((service, operation))
        return f"offered in part: {lack}" if lack else "offered"
    absence = not_offered.NOT_OFFERED[service, operation]
    return f"{absence.state.value}: {absence.reason}" if absence.reason else absence.state.value


def section(service: Service, key: str) -> list[str]:
    """The table of one service."""
    rest = service.protocol == "rest-json"
    states = {name: state(key, name) for name in service.operations}
    offered = sum(text.startswith("offered") for text in states.values())
    lines = [f"## {TITLES[key]}", "", f"{offered} of {len(states)} offered.", ""]
    lines += (
        ["| Operation | Method and path | State |", "|---|---|---|"] if rest else ["| Operation | State |", "|---|---|"]
    )
    for name, text in states.items():
        operation = service.operations[name]
        where = f" {operation.method} `{operation.path}` |" if rest else ""
        lines.append(f"| {name} |{where} {text} |")
    return [*lines, ""]


def page() -> str:
    """The whole page."""
    lines = [line for key in TITLES for line in section(model.load(key), key)]
    return HEAD + "\n".join(lines)


def main() -> None:
    """Write the page, or check it."""
    if "--check" in sys.argv[1:]:
        if not PAGE.exists() or PAGE.read_text("utf-8") != page():
            sys.exit("docs/operations.md is not up to date: run make docs")
        return
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), "utf-8")


if __name__ == "__main__":
    main()
