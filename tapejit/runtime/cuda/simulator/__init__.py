"""A GPU without one: kernels run as Python text on the host's memory, and mistakes are found.

machine   `SimulatedMachine`, which does all that machine.py asks of a GPU
kernels   a kernel's text as generators, one for each thread
warps     where threads wait for each other: barriers and shuffles
races     elements that threads read and write in no order
"""
