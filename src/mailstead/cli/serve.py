"""``mailstead serve``: run the server."""

from __future__ import annotations

import sys

import click

from mailstead.cli.frame import Frame, common


@click.command("serve")
@click.option("--dev", is_flag=True, help="Be a test double: capture everything, let any access key in.")
@click.option("--roles", metavar="LIST", help="Run only these parts: api,submission,mx,delivery,publish,upkeep…")
@common
def command(frame: Frame, dev: bool, roles: str | None) -> int:
    """Run the server until SIGTERM or Ctrl-C. Its addresses are printed and stand in DIR/endpoints.json.

    \b
    mailstead serve --dev
    mailstead serve --config /etc/mailstead.toml --data /var/lib/mailstead
    mailstead serve --set delivery.mode=relay --set delivery.smarthost=127.0.0.1:2526
    """
    settings = frame.own_settings(dev=True if dev else None, sets=[] if roles is None else [f"roles={roles}"])
    for warning in settings.warnings:
        print(f"mailstead: {warning}", file=sys.stderr)
    for key in settings.unused:
        print(f"mailstead: {key} is set, but not used yet", file=sys.stderr)
    from mailstead.app import serve

    return serve(settings)
