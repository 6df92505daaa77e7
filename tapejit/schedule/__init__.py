"""Programs become plans: which rows share a loop, what is stored, in which order things run.

    views       reshape, permute, slice, flip, expand as strides: no step at all
    templates   what an operation is inside a kernel: nodes, for operands of given dtypes
    loops       steps by an operation's own loop
    pieces      rows that are written in pieces: cat, unslice, reshapes that need a copy
    placement   which kernel computes a row, which rows are stored, which are computed again
    bodies      a kernel's rows as nodes, loads and stores; collapsing its axes
    rows        kernels that walk through the same rows become one
    partials    sums over the outermost axis in parts, which threads share
    planner     `schedule`, which strings them together; buffers and results
    memory      where temporaries lie: places by liveness
    describe    a plan as text

Read them in this order, or `planner` first.  What is not here: sizes and addresses reach kernels
at run time only, so nothing in a LoopKernel depends on them (tapejit.plan).
"""
