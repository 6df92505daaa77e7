"""Benchmarks: tapejit against its peers, each in a process of its own.

    python -m benchmarks [names...] [--quick] [--list] [--output DIR]

Where to start reading: a file under `workloads/` (what is computed, by whom, and the target), then
`harness` (in which order things are measured), then `worker` (what one sample is).

    records      Case, Target, Runner: the three records a workload is made of
    programs     the generator of random elementwise programs
    peers        the libraries: environment, and the usual way to call each of them
    worker       the process that runs one peer and answers over a pipe
    compare      are these outputs the same?  Asked before anything is timed, and again after
    harness      starts the workers, compares, measures
    judge        ratios and verdicts, from one run's samples
    machine      what machine, commit and versions these were
    report       the table and the JSON
    attacks, crowd, growth   what `processes` and `memory` run in processes of their own
    long_tape    the same for `tapes`
    chart        the picture (an extra: needs matplotlib)

The protocol: outputs are compared first.  Warm: the number of repeats is doubled until a sample
takes 5 ms, then at least 7 samples are taken, the peers in turn, one sample each; ratios use the
minima of one run, because noise only adds.  Cold: from before tracing until the first result of
the *compiled* program, in a process that has compiled another program before.  Fresh: in a new
process with empty caches, from after the import until the first gradient, compiled or not.
Everything runs on one core, except what says that it has two threads.

This package imports nothing heavy at the top: a worker times the import of its library.
"""
