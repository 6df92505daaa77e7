from numpy import float32

from tapejit.codegen.scalar_math import inf, maximum


def relu_rows(args, meta, begin, end):
    # x0: f32, steps s1
    # y0: f32, steps s1
    # y1: f32, steps 10, max over the axes that stay
    # y2: f32, steps 01, sum over the axes that stay
    x0, y0, y1, y2 = args
    n1 = meta[1]
    s0_0 = meta[2]
    s1_0 = meta[4]
    for unit in range(begin, end):
        i0 = unit
        total1 = float32(-inf)
        for i1 in range(n1):
            v0 = x0[i0 * s0_0 + i1]
            v1 = float32(0.0)
            v2 = v0 > v1
            v3 = v0 if v2 else v1
            y0[i0 * s1_0 + i1] = v3
            total1 = maximum(total1, v0)
            y2[i1] = y2[i1] + v3
        y1[i0] = maximum(y1[i0], total1)


def relu_rows_start(args, meta):
    _, _, y1, y2 = args
    n0 = meta[0]
    n1 = meta[1]
    for i0 in range(n0):
        y1[i0] = float32(-inf)
    for i1 in range(n1):
        y2[i1] = float32(0.0)
