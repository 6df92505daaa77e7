"""Doors to other libraries.

numpy_protocol   NumPy functions and ufuncs called with tensors: who answers
numpy_methods    methods and attributes that mean another thing in NumPy code
numpy_words      NumPy's arguments, in our words
numpy_missing    what an unsupported function says
numpy_functions  functions that only NumPy code calls
numpy_table      docs/numpy.md
numba_seam       native functions in @njit code: numba_typing, numba_lowering, numba_cache
numba_ufuncs     functions under @vectorize, of tensors
"""
