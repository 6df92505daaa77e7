"""Transformed functions for code that is not Python: self-contained machine code of known paths.

functions   `NativeFunction`, and how `g.numba(*example)` makes one; start here
records     what one is: its code, and how its arguments and its answer are nested
c_side      the C function: its address, ctypes, a call from Python
low_level   one number of the answer for scipy.LowLevelCallable
export      `tj.export`: a C header beside an object file or a shared library

Their machine code: `runtime.freestanding`.  In Numba's eyes: `interop.numba_seam`.
"""
