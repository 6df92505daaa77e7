"""PyTorch's `cuda` module: whether a GPU is used.  Kernels run on the CPU so far."""


def is_available() -> bool:
    """Whether tensors can lie on a GPU.

    >>> import tapejit as tj
    >>> tj.cuda.is_available()
    False
    """
    return False


def device_count() -> int:
    """The number of usable GPUs.

    >>> import tapejit as tj
    >>> tj.cuda.device_count()
    0
    """
    return 0
