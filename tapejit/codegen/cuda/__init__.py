"""Steps of a plan as numba.cuda kernels, in text: which run, over which grid, on what.

Nothing here knows a device: `launches` holds the records, the other modules fill them.  Loops of
kernels become text in `kernels`, operations' own loops (ops/loops) in `loops`.
"""
