"""Kernels as text: LLVM IR, readable Python, vector math.  Import the modules by name."""
