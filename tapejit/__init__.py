"""tapejit: gradients for NumPy, SciPy and Numba code.

`import tapejit as torch` for PyTorch's tensors and autograd; `import tapejit as tj` for function
transforms of NumPy code (`grad`, `value_and_grad`, `jit`, `vjp`, `jvp`, `jacobian`, ...).
"""

from typing import TYPE_CHECKING

from tapejit import config, cuda, errors, fft, linalg, nn, ops, samplers, scipy, special
from tapejit.dtypes import DType as dtype
from tapejit.dtypes import (
    bool_,
    complex64,
    complex128,
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
from tapejit.interop import (  # noqa: F401 - they give Tensor NumPy's protocols, and more
    numba_seam,
    numpy_functions,
    numpy_methods,
    numpy_protocol,
)
from tapejit.runtime.pool import get_num_threads, set_num_threads
from tapejit.tensor import (  # noqa: F401 - these publish functions and methods when imported
    arithmetic,
    attributes,
    autograd,
    complexes,
    composed,
    contractions,
    conversion,
    creation,
    curves,
    diagonals,
    distinct,
    exchange,
    history,
    indexing,
    inplace_methods,
    inplace_shapes,
    joining,
    numpy_shapes,
    ordering,
    padding,
    parts,
    picking,
    products,
    ranges,
    reducing,
    repeating,
    sampling,
    scanning,
    scattering,
    shaping,
    statistics,
)
from tapejit.tensor.attributes import Device as device
from tapejit.tensor.attributes import Size, get_default_device, set_default_device
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
from tapejit.tensor.random import (
    Generator,
    get_rng_state,
    initial_seed,
    manual_seed,
    seed,
    set_rng_state,
)
from tapejit.transforms.checking import check_grads
from tapejit.transforms.custom_rules import custom_jvp, custom_vjp
from tapejit.transforms.explaining import explain
from tapejit.transforms.gradients import grad, jit, value_and_grad
from tapejit.transforms.jacobians import hessian, jacfwd, jacobian, jacrev, sparsity
from tapejit.transforms.native.export import export
from tapejit.transforms.products import hvp, jvp
from tapejit.transforms.pullbacks import vjp
from tapejit.transforms.scalar.elementwise import elementwise
from tapejit.transforms.vmap import vmap

inplace_shapes.complete()

__all__ = [
    "Generator",
    "Size",
    "Tensor",
    "autograd",
    "bool_",
    "cdouble",
    "cfloat",
    "check_grads",
    "complex64",
    "complex128",
    "config",
    "cuda",
    "custom_jvp",
    "custom_vjp",
    "device",
    "double",
    "dtype",
    "elementwise",
    "enable_grad",
    "errors",
    "explain",
    "export",
    "fft",
    "float",
    "float16",
    "float32",
    "float64",
    "get_default_device",
    "get_default_dtype",
    "get_num_threads",
    "get_rng_state",
    "grad",
    "half",
    "hessian",
    "hvp",
    "inference_mode",
    "initial_seed",
    "int",
    "int8",
    "int16",
    "int32",
    "int64",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "jacfwd",
    "jacobian",
    "jacrev",
    "jit",
    "jvp",
    "linalg",
    "long",
    "manual_seed",
    "nn",
    "no_grad",
    "ops",
    "samplers",
    "scipy",
    "seed",
    "set_default_device",
    "set_default_dtype",
    "set_grad_enabled",
    "set_num_threads",
    "set_printoptions",
    "set_rng_state",
    "short",
    "sparsity",
    "special",
    "uint8",
    "value_and_grad",
    "vjp",
    "vmap",
]  # and the functions in FUNCTIONS

if TYPE_CHECKING:  # functions come from the register and from front.export, at import
    from typing import Any

    def __getattr__(name: str) -> Any: ...


float = float32
double = float64
half = float16
cfloat = complex64
cdouble = complex128
long = int64
int = int32
short = int16
globals()["bool"] = bool_
globals().update(FUNCTIONS)
