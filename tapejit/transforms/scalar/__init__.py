"""Scalar functions made into operations: `tj.elementwise`.

A scalar function that can be read is lowered: its source becomes a list of steps that are run on
whole tensors, as rows like any others, so it fuses and has derivatives of every order.  One that
only Numba can run (loops of unknown length, exceptions) is compiled by Numba and called for each
element: in the fused loop if it is a pure function of numbers, else in a loop of its own.

elementwise   the public function, its derivative; start here
lowering      a Python function to steps, by its syntax tree
steps         the steps, and how they run on tensors
source        the syntax tree of a function
linking       functions that Numba compiles, one call per element (runtime/linked_code.py)
"""
