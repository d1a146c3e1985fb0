"""The command line: what an operator types.

Each command is a file of its own and is imported when it is called: ``mailstead version`` answers at once.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

import click

from mailstead.base.errors import MailsteadError
from mailstead.cli.frame import common, root_options

# Name: (module, what it does in a line).
COMMANDS = {
    "account": ("account", "Accounts: who sends here, and how much."),
    "check": ("check", "Look for what is wrong: configuration, certificates, ports, disk, DNS."),
    "dns": ("dns", "What to publish in DNS."),
    "events": ("events", "What happened to messages."),
    "identity": ("identity", "Addresses and domains that accounts send as."),
    "ip": ("ip", "Addresses that accounts have for themselves."),
    "key": ("key", "Access keys and SMTP passwords."),
    "principal": ("principal", "Who acts for an account, and what their policies allow."),
    "queue": ("queue", "Mail that waits."),
    "send": ("send", "Send one message from the shell."),
    "serve": ("serve", "Run the server."),
    "trace": ("trace", "The whole life of one message."),
    "version": ("version", "Which Mailstead this is."),
}


class Commands(click.Group):
    """The commands, imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"mailstead.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(ctx)])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            raise click.UsageError(error.message + _nearest(args[0]), ctx) from None


def _nearest(name: str) -> str:
    import difflib

    close = difflib.get_close_matches(name, COMMANDS, 1)
    return f" Did you mean {close[0]!r}?" if close else ""


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@root_options
def cli(**_: object) -> None:
    """Mailstead: the Simple Email Service that you run yourself.

    \b
    mailstead serve --dev           a test double: nothing leaves this machine
    mailstead serve                 the server; settings: docs/configuration.md
    mailstead check                 is everything right?
    mailstead COMMAND --help        each command, with an example
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit status: 0, 1 for an error (one line on stderr), 2 for wrong usage."""
    try:
        status = cli.main(
            args=None if arguments is None else list(arguments), prog_name="mailstead", standalone_mode=False
        )
        sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.UsageError as error:
        return _complain(error.format_message() + _see(error), 2)
    except click.ClickException as error:
        return _complain(error.format_message(), 1)
    except MailsteadError as error:
        return _complain(error.message, 1)
    except (KeyboardInterrupt, click.Abort):
        return 130
    except BrokenPipeError:  # the reader (head, less) has gone: that is no error of ours
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except Exception as error:
        if os.environ.get("MAILSTEAD_DEBUG"):
            raise
        why = str(error).partition("\n")[0]
        return _complain(f"{type(error).__name__}: {why} (set MAILSTEAD_DEBUG=1 to see where)", 1)


def _see(error: click.UsageError) -> str:
    return f" (see {error.ctx.command_path} --help)" if error.ctx else ""


def _complain(text: str, status: int) -> int:
    print("mailstead: " + " ".join(text.split()), file=sys.stderr)
    return status


__all__ = ["cli", "common", "main"]
