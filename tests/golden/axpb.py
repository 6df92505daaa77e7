def axpb(args, meta, begin, end):
    # x0: f64, steps 1
    # x1: f64, steps 0
    # y0: f64, steps 1
    x0, x1, y0 = args
    n0 = meta[0]
    for unit in range(begin, end):
        for i0 in range(4096 * unit, min(4096 * unit + 4096, n0)):
            v0 = x0[i0]
            v1 = x1[0]
            v2 = 2.5
            v3 = v0 * v2
            v4 = v3 + v1
            y0[i0] = v4
