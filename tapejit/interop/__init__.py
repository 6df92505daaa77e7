"""Doors to other libraries.

numpy_protocol   NumPy functions called with tensors
"""
