"""The `kgan` command: `kgan generate`, `kgan filter`, `kgan tag`, `kgan makeup` and `kgan export`, a module each.

A module has `SUMMARY`, `MORE` (the end of its help), `add_arguments(parser)` and `execute(options)`.
"""

import argparse
import os
import sys
import warnings

from tqdm import tqdm

from kgan.cli import export, filter, generate, makeup, tag

COMMANDS = {"generate": generate, "filter": filter, "tag": tag, "makeup": makeup, "export": export}


def main(arguments=None):
    """Runs one of the `COMMANDS`.

    Args:
        arguments: list of str; None for `sys.argv[1:]`.

    Returns:
        Exit status; the help of each command lists the values.

    Example:

    ```python
    main(["filter", "photos", "--out", "rows.jsonl"])
    ```
    """
    open_standard_streams()
    parser = argparse.ArgumentParser("kgan", description="Command-line tools of kgan.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, command in COMMANDS.items():
        command.add_arguments(
            commands.add_parser(
                name,
                help=command.SUMMARY,
                description=command.SUMMARY,
                epilog=command.MORE,
                formatter_class=argparse.RawDescriptionHelpFormatter,
            )
        )
    options = parser.parse_args(arguments)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: tqdm.write(f"kgan {options.command}: {message}", sys.stderr)
            COMMANDS[options.command].execute(options)
    except KeyboardInterrupt:
        print(f"kgan {options.command}: stopped; run again to continue", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of the rows has closed the pipe. Without this, Python reports it again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, FileNotFoundError, ImportError) as error:
        print(f"kgan {options.command}: {error}", file=sys.stderr)
        return 2
    except (OSError, RuntimeError) as error:
        print(f"kgan {options.command}: {error}", file=sys.stderr)
        return 1
    return 0


def open_standard_streams():
    """Opens the null device in place of the standard streams that are closed, as those of a daemon may be.

    Else the next file that is opened takes the number of such a stream, and gets what libraries write to it.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            stream = open(os.devnull, mode)  # noqa: SIM115
            if stream.fileno() != number:
                os.dup2(stream.fileno(), number)
            setattr(sys, name, stream)
