"""The workloads, one file each: inputs from a seed, one implementation per peer, targets.

Their form is in `benchmarks.records`.  Order here is the order of the table.
"""

NAMES = (
    "elementwise", "black_scholes", "likelihoods", "eager_chain", "small_call", "calls",
    "processes", "memory", "tapes", "vector_math", "threads", "linear_algebra", "rows",
    "loops", "training_step", "batched", "bundle", "sparse_hessian", "c_code",
    "njit_calls", "sampling", "fits", "solutions", "gpu",
)  # fmt: skip
