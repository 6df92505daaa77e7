"""The command line: python -m tapejit show | ops | numpy | stubs | demo.

    show FILE:FUNCTION   a function's tape before and after simplification, schedule, kernels
    ops [NAME]           the register of operations, or one record
    numpy [--write FILE] NumPy functions that take tensors, and what comes nearest to the others
    stubs --write FILE   the type stub of the public names
    demo [--quick]       the notebook's examples, then a fit on real data with timings and a chart

Errors of the command line end with status 2 and one message; a failure in the user's own file is
an ordinary traceback, which says where.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tapejit import catalogue, demo, show, stubs
from tapejit.errors import TapejitError
from tapejit.interop import numpy_table


def parser() -> argparse.ArgumentParser:
    """What the command line takes."""
    top = argparse.ArgumentParser(
        prog="python -m tapejit", description="Gradients on a flat tape, compiled into kernels."
    )
    commands = top.add_subparsers(
        dest="command", required=True, metavar="show | ops | numpy | stubs | demo"
    )
    shown = commands.add_parser(
        "show", help="print what becomes of a function: tape, schedule, kernels"
    )
    shown.add_argument("target", metavar="FILE:FUNCTION")
    shown.add_argument(
        "--args", help='example arguments, such as "np.linspace(0, 1, 10), 2.0" (else EXAMPLE_ARGS)'
    )
    shown.add_argument(
        "--grad", action="store_true", help="value and gradient of a scalar function"
    )
    shown.add_argument("--ir", action="store_true", help="kernels as LLVM IR too")
    shown.add_argument("--cuda", action="store_true", help="schedule and kernels of a GPU instead")
    shown.add_argument("--dot", action="store_true", help="only the simplified tape, for Graphviz")
    listed = commands.add_parser("ops", help="list the operations, or print one record")
    listed.add_argument("name", nargs="?", help="an operation")
    listed.add_argument("--write", type=Path, metavar="FILE", help="write the page docs/ops.md")
    tabled = commands.add_parser("numpy", help="list the NumPy functions that take tensors")
    tabled.add_argument("--write", type=Path, metavar="FILE", help="write the page docs/numpy.md")
    typed = commands.add_parser("stubs", help="the type stub of the public names")
    typed.add_argument("--write", type=Path, required=True, metavar="FILE")
    shows = commands.add_parser("demo", help="the notebook's examples and a real fit")
    shows.add_argument("--quick", action="store_true", help="small sizes, a few seconds")
    shows.add_argument(
        "--output", type=Path, default=Path("demo_fit.png"), help="the chart (default: %(default)s)"
    )
    return top


def main(arguments: list[str]) -> int:
    """Run what the command line asks for; return the exit status."""
    options = parser().parse_args(arguments)
    try:
        if options.command == "demo":
            demo.main(quick=options.quick, chart=options.output)
        elif options.command == "show":
            flags = {name: getattr(options, name) for name in ("grad", "ir", "cuda", "dot")}
            print(show.show_text(options.target, options.args, **flags), end="")
        elif options.command == "stubs":
            options.write.write_text(stubs.page())
            print(f"wrote {options.write}")
        elif options.command == "numpy":
            written(options.write, numpy_table.page())
        else:
            ops(options)
    except (show.ShowError, catalogue.UnknownOperation) as error:
        print(error, file=sys.stderr)
        return 2
    except TapejitError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # `| head` closed the pipe: nobody reads on
        sys.stderr.close()
        return 0
    return 0


def written(path: Path | None, text: str) -> None:
    """A page, printed or written to a file."""
    if path is None:
        print(text, end="")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    print(f"wrote {path}")


def ops(options: argparse.Namespace) -> None:
    """The register, one record, or the page of documentation written to a file."""
    if options.write is not None:
        written(options.write, catalogue.page())
    elif options.name is not None:
        print(catalogue.record(options.name), end="")
    else:
        print(catalogue.table(), end="")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
