"""Plans on a GPU: memory, kernels and launches, through CUDA's driver or a simulator of it.

A program on its way to results:

    parts       programs whose values move: one part for each device and stage
    program     `compile_for_device`: a plan as a function of addresses
    steps       what a GPU does in place of library steps: copies, loops, calls
    copies      kernels that move and cast elements
    launching   launches with addresses
    graphs      calls that were made before, as one CUDA graph
    statuses    what kernels refused, told later
    evaluating  single operations
    checking    each call's results against the CPU's, where that is asked for

Memory:

    arrays      `DeviceArray`, the value of a tensor
    exchange    other libraries' arrays in and out
    dlpack      the capsules for that

The GPU itself:

    machine     what one can do: the protocols
    machines    which there are
    card        a real one, through cuda.core and the driver
    streams     its streams, events and graphs
    staging     copies between it and the host
    probe       whether it can be used, and what is missing
    compiling   text to PTX to machine code
    cubins      machine code on disk

Folders: forms/ has passes over programs, libraries/ the seam to cuBLAS and cuSOLVER, simulator/ the
GPU of the tests.
"""
