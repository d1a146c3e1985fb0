"""Write docs/configuration.md from the settings themselves; ``--check`` only says whether it is up to date."""

from __future__ import annotations

import sys
from pathlib import Path

from mailstead.config import KEYS, SECTIONS, Key

PAGE = Path(__file__).resolve().parent.parent / "docs" / "configuration.md"

HEAD = """# Configuration

<!-- Made by tools/make_configuration_page.py from src/mailstead/config/settings.py: change it there. -->

Settings come from, later ones winning:

1. a TOML file (`--config FILE`, or `MAILSTEAD_CONFIG`): `[delivery]`, then `mode = "direct"`;
2. the environment: `MAILSTEAD_DELIVERY_MODE=direct`, `MAILSTEAD_REGIONS=us-east-1,eu-west-1`;
3. the command line: `--set delivery.mode=direct`, as often as needed.

An unknown name is an error that names the nearest known one. Durations are `14h`, `90m`, `10s`, `500ms`; sizes `10MiB`
or bytes; lists TOML arrays or words with commas between; truth `true` or `false`. `DIR` is the data directory
(`--data DIR`, or `MAILSTEAD_DATA`, default `./mailstead-data`).
`mailstead check` tells whether all of it holds together.

Settings marked *(not used yet)* are checked, but the part that reads them is not built yet.
"""


def page() -> str:
    """The whole page."""
    parts = [HEAD, _table("Without a table", "", "")]
    parts += [_table(f"`[{name}]`", holder.__doc__ or "", name) for name, holder in SECTIONS.items()]
    return "\n".join(parts)


def _table(title: str, about: str, section: str) -> str:
    rows = [_row(key) for key in KEYS.values() if key.section == section]
    lead = f"{about}\n\n" if about else ""
    return f"## {title}\n\n{lead}| setting | default | meaning |\n|---|---|---|\n" + "\n".join(rows) + "\n"


def _row(key: Key) -> str:
    dev = "" if key.dev is None else f" (`--dev`: `{_shown(key.dev)}`)"
    unused = " *(not used yet)*" if key.unused else ""
    default = f"`{_shown(key.default)}`" if key.default != "" else "none"
    return f"| `{key.name}` | {default}{dev} | {key.doc}{unused} Takes {key.kind.allowed}. |"


def _shown(value: str | bool | int) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def main() -> int:
    """Write the page, or compare it."""
    if "--check" in sys.argv[1:]:
        if not PAGE.exists() or PAGE.read_text() != page():
            print("docs/configuration.md is not up to date: run make docs")
            return 1
        return 0
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
