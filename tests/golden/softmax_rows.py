from tapejit.codegen.scalar_math import div, exp, inf, maximum


def softmax_rows(args, meta, begin, end):
    # x0: f64, steps s1
    # y0: f64, steps s0, max over the axes that stay
    # x0b: f64, steps s1
    # x1b: f64, steps s0
    # y0b: f64, steps s1
    # y1b: f64, steps s0, sum over the axes that stay
    # x0c: f64, steps s1
    # x1c: f64, steps s0
    # y0c: f64, steps s1
    x0, y0, x0b, x1b, y0b, y1b, x0c, x1c, y0c = args
    n1 = meta[2]
    s0_0 = meta[3]
    s1_0 = meta[5]
    n1b = meta[8]
    s0_0b = meta[9]
    s1_0b = meta[11]
    s2_0b = meta[13]
    s3_0b = meta[15]
    n1c = meta[18]
    s0_0c = meta[19]
    s1_0c = meta[21]
    s2_0c = meta[23]
    turn = meta[0]
    for first in range(begin, end, turn):
        last = min(first + turn, end)
        for unit in range(first, last):
            i0 = unit
            total0 = -inf
            for i1 in range(n1):
                v0 = x0[i0 * s0_0 + i1]
                total0 = maximum(total0, v0)
            y0[i0 * s1_0] = maximum(y0[i0 * s1_0], total0)
        for unit in range(first, last):
            i0 = unit
            total1b = 0.0
            for i1 in range(n1b):
                v0b = x0b[i0 * s0_0b + i1]
                v1b = x1b[i0 * s1_0b]
                v2b = v0b - v1b
                v3b = exp(v2b)
                y0b[i0 * s2_0b + i1] = v3b
                total1b = total1b + v3b
            y1b[i0 * s3_0b] = y1b[i0 * s3_0b] + total1b
        for unit in range(first, last):
            i0 = unit
            for i1 in range(n1c):
                v0c = x0c[i0 * s0_0c + i1]
                v1c = x1c[i0 * s1_0c]
                v2c = div(v0c, v1c)
                y0c[i0 * s2_0c + i1] = v2c


def softmax_rows_start(args, meta):
    _, y0, _, _, _, y1b, _, _, _ = args
    n0 = meta[1]
    s1_0 = meta[5]
    n0b = meta[7]
    s3_0b = meta[15]
    for i0 in range(n0):
        y0[i0 * s1_0] = -inf
    for i0 in range(n0b):
        y1b[i0 * s3_0b] = 0.0
