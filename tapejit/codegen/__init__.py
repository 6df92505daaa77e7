"""Kernels as text: LLVM IR, readable Python, vector mathematics.  Nothing runs here.

A loop kernel (plan.py) as LLVM IR, for all sizes:

    row_ir          the door, and kernels of several loops
    loop_ir         one loop: units, vectors, the tail
    loop_body       its nodes; vector_ops: the instructions of one node
    loop_memory     its loads and stores; loop_reduce: sums across lanes; loop_tail: what is left;
                    loop_columns: operands side by side, moved as rows
    callees         the functions that nodes call: `vectormath`; linked_ir: users' own

The same kernel in other forms:

    loop_text       as Python that people read, over value_text; scalar_math and scalar_special are
                    what it calls
    static_ir       as LLVM IR with its sizes written in, for code that stands alone
    cuda            as kernels of numba.cuda

What is no kernel:

    loop_functions  operations' own loops (ops/loops); tiles: what products call
    threaded        the interpreter of scalar tapes
    words           functions over machine words: the native entry of a call
    statements      what the languages of loop_functions and words share
"""
