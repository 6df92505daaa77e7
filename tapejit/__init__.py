"""tapejit: gradients for NumPy, SciPy and Numba code.

`import tapejit as torch` for PyTorch's tensors and autograd; `import tapejit as tj` for function
transforms of NumPy code (`grad`, `value_and_grad`, `jit`, `vjp`, `jvp`, `jacobian`, ...).
"""

from tapejit import cuda, errors, nn, ops
from tapejit.dtypes import DType as dtype
from tapejit.dtypes import (
    bool_,
    float16,
    float32,
    float64,
    get_default_dtype,
    int8,
    int16,
    int32,
    int64,
    set_default_dtype,
    uint8,
)
from tapejit.tensor import (
    arithmetic,
    attributes,
    autograd,
    creation,
    functional,
    indexing,
    inplace_methods,
    reducing,
    shaping,
)
from tapejit.tensor.attributes import Device as device
from tapejit.tensor.attributes import Size
from tapejit.tensor.core import Tensor
from tapejit.tensor.front import FUNCTIONS
from tapejit.tensor.modes import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from tapejit.tensor.printing import set_printoptions
from tapejit.tensor.random import manual_seed
from tapejit.interop import numpy_protocol
from tapejit.transforms.checking import check_grads
from tapejit.transforms.gradients import grad, jit, value_and_grad
from tapejit.transforms.jacobians import hessian, jacobian
from tapejit.transforms.products import hvp, jvp, vjp

float = float32
double = float64
half = float16
long = int64
int = int32
short = int16
globals()["bool"] = bool_
globals().update(FUNCTIONS)
