"""PyTorch's `nn.functional`: activations and losses."""

from tapejit.tensor.functional import *  # noqa: F403 - the public names are that module's __all__
