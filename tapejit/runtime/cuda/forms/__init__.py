"""Operations by others that have a form on a GPU: passes over a program, before it is scheduled.

forming         `formed`: which operations become others; narrow dtypes, convolutions
flat_places     several indices as one
matrices        slopes, pseudo-inverses and exponentials of matrices
spectra         Fourier transforms as products
pairs           complex numbers as two real ones
pair_functions  their functions, on parts
"""
