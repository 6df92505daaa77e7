"""Steps of a plan as numba.cuda kernels, in text: which run, over which grid, on what.

Nothing here knows a device.  `launches` holds the records, the other modules fill them:

    launches           functions, launches, the width of indices
    functions          the numbers' functions, for each dtype
    draws              random numbers

Kernels of the scheduler:

    kernels            kernel steps as launches: who shares one, and how the space is shared out
    text               one kernel: loops over a space that blocks and threads share
    values             a loop's values: their names, and where each of them changes
    folds              reductions over threads: shuffles, then shared memory
    tiles              transposes through shared memory

Operations' own loops, and what is around libraries, written as Python functions:

    words              names whose meaning each text states
    indices            their texts, with indices in int32 or int64
    texts              their launches
    loops              which loop is whose; the generic form, a thread for each unit
    loop_places        reading and writing at computed places
    loop_sorting       sorts
    loop_scans         running sums, products, extremes
    loop_extremes      where the largest element is
    loop_windows       pooling, and windows added up
    loop_products      products of integers
    loop_convolutions  convolutions
    loop_matrices      factorizations, a block for each matrix
    packing            layouts, pivots and verdicts for libraries
"""
