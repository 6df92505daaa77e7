"""Sparse Jacobians and Hessians: jacobian(f, sparse=True), hessian(f, sparse=True), sparsity(f).

    short_axes  arrays of short vectors as a few long arrays, before anything else
    patterns    which element of each row depends on which column, read from the tape
    colours     columns and rows that one sweep can serve, by the pattern
    programs    one program for all sweeps, and where each nonzero lies in its results
    calls       what users call

Read them in this order.  These modules import SciPy; they are imported by the first sparse call.
"""
