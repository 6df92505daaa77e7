"""What NVIDIA's libraries do, and what stands in for them on a simulated GPU.

calls           the seam: which operations are calls, and of what; matrix products
factorizations  operations of linear algebra as kernels and calls in order
bindings        a library, through nvmath-python or CuPy
cublas          products and triangles; NumPy's and BLAS's in their place
cusolver        factorizations; LAPACK's in their place
"""
