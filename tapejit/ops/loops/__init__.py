"""Compiled loops of operations that are no chain of elementwise functions and reductions.

A loop is a plain Python function in the subset of codegen/loop_functions.py, with the machine
interface of plan.py:

    def run(args, meta, begin, end)

args   flat arrays: the operands, the result, scratch areas, and for a loop with a status that
meta   int64: the numbers that `work` put there
units  [begin, end) are done; each can be done in any order and at the same time as others

A record states it with `loop=Loop(work)` (registry.py) beside its NumPy `evaluate`, which
stays the reference and what runs elsewhere: on dtypes that kernels do not take, and on empty
operands.  What a loop may assume and must keep:

- args have kernels' dtypes (bool, i32, i64, f32, f64); a bool is a byte, 0 or 1.  Operands are
  row-major where the Loop does not say what else it `reads`: then `work` puts strides into meta.
- It allocates nothing, raises nothing, prints nothing: no NumPy inside.  Places read from an
  operand are checked; where one is out of range it sets the status and goes on, reading nothing.
- The bits of the result do not depend on how units are spread over threads.
- It calls functions of these modules only; `wide` gives what sums are kept in.

TAPEJIT_JIT=0 runs the same functions as Python.  What compiles them is runtime/loops.py.

    words       wide: numbers that add up
    places      index, index_add, index_put, index_combine; gather, scatter_add
    scans       cumsum
    recurrences recurrence, cumprod, cumargmax, cumargmin
    extremes    argmax, argmin
    search      searchsorted, nonzero
    sorting     argsort, sort
    factorizations Cholesky, LU, triangles: small matrices, and all where there is no LAPACK
    products    matrix products: what the native loops of runtime/blas_code.py are told
    convolutions values, and slopes by input and by weights; tiles: what they call natively
    pooling     the largest element of each window
    windows     unstrided: windows added up where they overlap
    colours     colourings of sparse matrices: no operation's
    elements    functions of numbers, element by element
    zeta        zeta, polygamma
    incomplete_gamma gammainc, gammaincc, and a slope
    beta        beta, betaln
    gamma       Stirling's series: what both call

Elements are processed in the order of memory where that is possible: an inner loop over neighbours
is what LLVM turns into vectors.
"""
