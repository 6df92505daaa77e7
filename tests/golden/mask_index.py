from numpy import int64

from tapejit.codegen.scalar_math import mod_int


def mask_index(args, meta, begin, end):
    # x0: i64, steps s
    # y0: bool, steps 1
    # y1: i64, steps s
    x0, y0, y1 = args
    n0 = meta[0]
    s0_0 = meta[1]
    s2_0 = meta[3]
    for unit in range(begin, end):
        for i0 in range(4096 * unit, min(4096 * unit + 4096, n0)):
            v0 = x0[i0 * s0_0]
            v1 = int64(3)
            v2 = int64(mod_int(v0, v1))
            v3 = int64(0)
            v4 = v2 == v3
            v5 = int64(i0)
            v6 = v5 if v4 else v3
            y0[i0] = v4
            y1[i0 * s2_0] = v6
