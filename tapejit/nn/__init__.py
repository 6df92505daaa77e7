"""PyTorch's `nn` namespace, as far as functions go."""

from tapejit.nn import functional

__all__ = ["functional"]
