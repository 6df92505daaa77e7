"""Operations' own loops on a GPU.

The generic form is the function that the CPU compiles, word by word (texts.py): a thread is a unit.

    @cuda.jit(device=True, inline="always")
    def searchsorted(args, meta, begin, end):
        ...
    def kernel(a0, a1, a2, m0, m1, m2, units):
        for unit in range(cuda.grid(1), units, cuda.gridsize(1)):
            searchsorted((a0, a1, a2,), (m0, m1, m2,), unit, unit + 1)

That is all there is for searchsorted, a thread for each number to place.  Where a unit is too much
for a thread, or threads would read memory far apart, an operation has kernels of its own:

    loop_places        index, index_add, index_put, index_last, index_combine, gather, scatter_add
    loop_sorting       sort, argsort, argkth
    loop_scans         recurrence, cumsum, cumprod, logcumsumexp, cumargmax, cumargmin, nonzero
    loop_extremes      argmax, argmin
    loop_windows       max_pool_index, adaptive_max_index, unstrided
    loop_convolutions  convolution, convolution_input, convolution_weight
    loop_products      matmul of integers
    loop_matrices      cholesky, cholesky_slope, solve_triangular, inv, lu and what uses it, refuse

Results do not depend on how many blocks run at a time, nor on the card: there are no atomics.
A loop that may refuse writes something other than 0 to Argument("status", 0).

What calls a library on the CPU has no form here: `NotImplementedError`.  Start at
`launches_of_loop`.
"""

from __future__ import annotations

from collections.abc import Callable

from tapejit.codegen.cuda import (
    loop_convolutions,
    loop_extremes,
    loop_matrices,
    loop_places,
    loop_products,
    loop_scans,
    loop_sorting,
    loop_windows,
)
from tapejit.codegen.cuda.launches import Launches
from tapejit.codegen.cuda.texts import Area, Recipe, number_of
from tapejit.plan import LoopStep

OWN: dict[str, Callable[[Recipe, LoopStep], None]] = {
    "index": loop_places.read,
    "index_add": loop_places.index_add,
    "index_put": loop_places.index_put,
    "index_last": loop_places.index_last,
    "index_combine": loop_places.index_combine,
    "gather": loop_places.gather,
    "scatter_add": loop_places.scatter_add,
    "sort": loop_sorting.sort,
    "argsort": loop_sorting.argsort,
    "argkth": loop_sorting.argkth,
    "argmax": loop_extremes.argmax,
    "argmin": loop_extremes.argmin,
    "convolution": loop_convolutions.value,
    "convolution_input": loop_convolutions.by_input,
    "convolution_weight": loop_convolutions.by_weight,
    "matmul": loop_products.matmul,
    "cholesky": loop_matrices.cholesky,
    "cholesky_slope": loop_matrices.cholesky_slope,
    "solve_triangular": loop_matrices.solve_triangular,
    "lu": loop_matrices.lu,
    "lu_permutation": loop_matrices.lu_permutation,
    "lu_solve": loop_matrices.lu_solve,
    "lu_inverse": loop_matrices.lu_inverse,
    "inv": loop_matrices.inverse,
    "cofactors": loop_matrices.cofactors,
    "refuse": loop_matrices.refuse,
    "max_pool_index": loop_windows.pool,
    "adaptive_max_index": loop_windows.pool,
    "unstrided": loop_windows.unstrided,
    "nonzero": loop_scans.nonzero,
    "recurrence": loop_scans.recurrence,
    "cumsum": loop_scans.cumsum,
    "cumprod": loop_scans.cumprod,
    "logcumsumexp": loop_scans.logcumsumexp,
    "cumargmax": loop_scans.cumargmax,
    "cumargmin": loop_scans.cumargmin,
}
"""Of operations with kernels of their own: what adds the launches of a step."""


def launches_of_loop(step: LoopStep, block: int) -> Launches:
    """The launches of an operation's own loop, for blocks of that many threads.

    Errors  NotImplementedError where there is no form for GPUs
    """
    recipe = Recipe(step.kind.op.name, step.views, step.dtypes[: len(step.views)], block)
    OWN.get(recipe.name, run_units)(recipe, step)
    return recipe.done()


def run_units(recipe: Recipe, step: LoopStep) -> None:
    """The generic form: one thread for each unit."""
    work = step.work
    if isinstance(work.run, str) or work.finish is not None:
        raise NotImplementedError(f"{recipe.name}: what the CPU runs has no form for GPUs")
    args: list[Area] = [*recipe.views, *(recipe.area(*area) for area in work.scratch)]
    args += [recipe.status] * step.loop.has_status
    result = recipe.views[-1].dtype
    recipe.run_loop(work.run, args, work.meta, work.units, wide=number_of(result))
