"""Every error class of tapejit, one per cause.

A message says what happened, what was got, where, and what to try.  Errors that PyTorch raises as
RuntimeError, TypeError or IndexError derive from these, so ported ``except`` clauses still work.
"""

from __future__ import annotations

import numpy as np


class TapejitError(Exception):
    """Base of every error that tapejit raises on purpose."""


class DeclarationError(TapejitError, ValueError):
    """An operation's record is wrong.

    Raised while `tapejit.ops` is imported: the value text uses a name outside the expression
    language, or a field that the family needs is missing.  Mend the record.
    """


class ShapeError(TapejitError, RuntimeError, ValueError):
    """Shapes do not fit the operation.

    Usual causes: operands that do not broadcast, inner lengths of a matrix product that differ,
    a reshape to another number of elements, lists of ragged lengths.
    """


class DtypeError(TapejitError, TypeError, NotImplementedError, ValueError):
    """A dtype that the operation does not take.

    Usual causes: an object, string or structured array; a masked array (its mask would be
    dropped silently); integers where a float is needed.  PyTorch raises TypeError, RuntimeError,
    NotImplementedError or ValueError for these, by operation.
    """


class AxisError(TapejitError, IndexError):
    """An axis, or an index along one, is out of range or repeated."""


class SelectionError(AxisError, RuntimeError):
    """Something is selected that is not there, where PyTorch raises RuntimeError.

    Usual causes: an index tensor of gather with an element out of range; an axis given twice; the
    extreme of no elements.
    """


class ArgumentError(TapejitError, RuntimeError, ValueError):
    """An argument has a value that the function cannot take.

    Usual causes: a negative length, a step of 0 or away from the end, no bound for clamp.
    """


class DeviceError(TapejitError, RuntimeError):
    """Operands lie on different devices, or on one that is not there.

    Usual causes: a tensor on the GPU meets one on the CPU that has axes (numbers without axes may
    lie anywhere); device="cuda:1" where there is one card.
    """


class LinAlgError(TapejitError, RuntimeError, np.linalg.LinAlgError):
    """A matrix is not what a decomposition or a solve needs.

    Usual causes: a singular matrix given to inv or solve; a covariance that is not positive
    definite given to cholesky (add a little to its diagonal); NaN or infinity in the matrix.
    NumPy's error of this name and PyTorch's RuntimeError both catch it.

    >>> import tapejit as tj
    >>> try:
    ...     tj.linalg.inv(tj.zeros(2, 2))
    ... except tj.linalg.LinAlgError as error:
    ...     print(str(error)[:45])
    linalg.inv: The diagonal element 1 is zero, t
    """


class DivisionByZero(TapejitError, RuntimeError, ZeroDivisionError):
    """Integers were divided by zero.  Floats give inf or nan instead."""


class AutogradError(TapejitError, RuntimeError):
    """backward() or grad() cannot be done on this graph.

    Usual causes: the tensor does not require grad; its graph was freed by an earlier backward
    (``retain_graph=True`` keeps it); the output is not a scalar and no gradient was given.
    """


class StaleTape(AutogradError):
    """A value saved for backward was changed in place before backward could use it.

    Wrong:  y = x.exp(); y.add_(1); y.sum().backward()      exp's slope reads y
    Right:  y = x.exp(); z = y + 1; z.sum().backward()
    """


class NotDifferentiable(TapejitError, RuntimeError, TypeError):
    """A derivative was asked of something that has none.

    Usual causes: integers or booleans that require grad; a function whose output is no float.
    """


class TraceError(TapejitError, TypeError):
    """A decorated function did something that a recording cannot represent.

    Usual causes: an argument or a result of a type that is no array, number or container of
    them.
    """


class GuardError(TapejitError, RuntimeError):
    """A native function has no recorded path for these arguments.

    Python code records another path then; compiled code cannot.  Call the function on such
    arguments before `.numba(...)`, and the path will be in it.
    """


class KernelError(TapejitError, RuntimeError):
    """A kernel could not be compiled or loaded.  The program still runs, row by row."""


class ConfigError(TapejitError, ValueError):
    """A setting (environment variable or call) has a value it cannot take."""


class GpuUnavailable(TapejitError, RuntimeError):
    """No GPU can be used here.  `reason` says what is missing:

    package    the Python packages of an extra: pip install 'tapejit[cuda13]'
    driver     NVIDIA's driver, libcuda.so.1
    device     a GPU: none is there, none is visible (CUDA_VISIBLE_DEVICES), not so many, or the
               driver refuses to start
    too_old    the driver, or the card, is older than what kernels are made for
    toolchain  a compiler, and the kernel is not among those kept on disk

    >>> import tapejit as tj
    >>> str(tj.errors.GpuUnavailable("driver", "no driver")), tj.errors.GpuUnavailable.REASONS[0]
    ('no driver', 'package')
    """

    REASONS = ("package", "driver", "device", "too_old", "toolchain")

    def __init__(self, reason: str, message: str):
        super().__init__(message)
        self.reason = reason

    def __reduce__(self):
        return type(self), (self.reason, str(self))


class OutOfMemory(TapejitError, RuntimeError, MemoryError):
    """A GPU has too little memory left.

    Usual causes: tensors that are still held (lists of losses that keep their graphs); another
    process on the card.  `tj.cuda.empty_cache()` gives memory that is kept for reuse to others.
    """


class LaunchError(TapejitError, RuntimeError):
    """A kernel failed on the GPU: an address out of bounds, a barrier that not all threads reach.

    Launches are asynchronous, so it may surface later than the operation that caused it; the
    message names the launches since the last synchronisation, TAPEJIT_BLOCKING=1 exactly the one.
    After such an error a process can no longer use the card.
    """


class NoGpuForm(TapejitError, NotImplementedError):
    """An operation has no form for a GPU, or none for this dtype.

    Nothing is computed on the CPU instead, since the copies would be silent and slow:
    ``x.cpu()`` before it and ``.cuda()`` behind it say that they are meant.
    """
