"""Running compiled programs: native code, launchers, memory, threads.

    compiled        a Plan as one Python function that launches kernels; start here
    work            how long a step takes, and where threads may cut it
    blocks          memory for results, used again; literals: values that a program states
    reference       tier 0: row by row with NumPy; eager: its large arrays by kernels
    interpreter     tier 1: long scalar tapes, forward and reverse; handlers: its machine code
    tiers           tier 2 with and without LLVM's passes, recompiled behind the program's back

Kernels as machine code:

    native          LLVM: text in, machine code out, kept on disk
    kernels         one of each content in a process; cells: where its code is
    libraries       what kernels call; linked_code: users' functions by Numba
    launcher        a kernel as a Python callable; pool: its threads
    loops           operations' own loops; blas and blas_code: products over NumPy's BLAS
    numba_kernels   the readable text through Numba; python_kernels: without a compiler
    sources         that text in files, for tracebacks; agreement: TAPEJIT_CHECK=3

Calls without Python in between:

    entry           the record of one kind of call; entry_code: what reads it
    freestanding    a function as one C function, with nothing outside; known_places: what it folds

Where values lie: `devices`; on GPUs: `cuda`.
"""
