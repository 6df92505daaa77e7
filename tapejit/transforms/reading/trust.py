"""Which modules and functions a recording may call without their insides being looked at.

Plain lists and the three questions asked of them.  *Pure* modules are trusted: what they hold is
not guarded, their functions are not analysed.  *Impure* ones give another answer at each call or
act on the world, so a recording that reads them is never cached.  Everything else is a user's
code: `reads` walks through it.

A name that is missing here costs speed (the run is not cached), never a wrong answer.
"""

from __future__ import annotations

import builtins
import types


def words(text: str) -> list[str]:
    """Long lists of names read better as text."""
    return text.split()


PURE_MODULES = frozenset(
    words(
        "numpy math cmath operator functools itertools scipy tapejit builtins typing "
        "collections dataclasses enum abc numbers fractions statistics string copy "
        "contextlib reprlib types bisect heapq array_api_compat _operator _functools "
        "_collections _bisect _heapq _collections_abc typing_extensions __future__ keyword re "
        "numba"
    )
)

# top-level name -> what a message says about it
IMPURE_MODULES = {
    "random": "random numbers",
    "_random": "random numbers",
    "secrets": "random numbers",
    "uuid": "random numbers",
    "time": "the clock",
    "datetime": "the clock",
    "_datetime": "the clock",
    "os": "the operating system",
    "posix": "the operating system",
    "nt": "the operating system",
    "sys": "the interpreter's state",
    "gc": "the interpreter's state",
    "inspect": "the interpreter's state",
    "warnings": "the warning filters",
    "logging": "a logger",
    "io": "files",
    "_io": "files",
    "pathlib": "files",
    "shutil": "files",
    "tempfile": "files",
    "pickle": "files",
    "socket": "the network",
    "subprocess": "other processes",
    "multiprocessing": "other processes",
    "threading": "other threads",
    "_thread": "other threads",
    "queue": "other threads",
    "asyncio": "other tasks",
    "contextvars": "context variables",
    "_contextvars": "context variables",
    "ctypes": "raw memory",
    "_ctypes": "raw memory",
    "importlib": "imports at run time",
    "decimal": "the decimal context",
    "_decimal": "the decimal context",
}

# constants of impure modules that numerical code reads
CONSTANTS = frozenset({("sys", "float_info"), ("sys", "maxsize"), ("sys", "version_info")})

# attributes of pure modules that are not pure
IMPURE_NAMES = {
    **dict.fromkeys(
        words(
            "random rand randn randint randperm rand_like randn_like randint_like normal "
            "bernoulli multinomial default_rng rvs manual_seed seed Generator "
            "RandomState shuffle random_state initial_seed uniform_ normal_"
        ),
        "random numbers",
    ),
    **dict.fromkeys(
        words(
            "load save savez savez_compressed loadtxt savetxt genfromtxt fromfile memmap "
            "tofile dump fromregex loadmat savemat open_memmap"
        ),
        "files",
    ),
    **dict.fromkeys(
        words(
            "seterr seterrcall setbufsize set_printoptions set_default_dtype set_num_threads "
            "errstate geterr no_grad_ set_grad_enabled"
        ),
        "global settings",
    ),
    **dict.fromkeys(["attrgetter", "methodcaller"], "attributes by computed names"),
}
IMPURE_NAMES.pop("errstate")  # restores what it sets

DRAWN = frozenset(
    words(
        "rand randn randint randperm rand_like randn_like randint_like normal bernoulli multinomial"
    )
)
"""Random functions of tapejit: what they draw is an input of the program (`tensor.random`)."""

DENIED_BUILTINS = {
    **dict.fromkeys(
        ["print", "open", "input", "breakpoint", "help", "exit", "quit"], "has effects"
    ),
    **dict.fromkeys(["exec", "eval", "compile", "__import__"], "runs text that cannot be read"),
    **dict.fromkeys(["globals", "locals", "vars", "dir"], "reads a whole namespace"),
    **dict.fromkeys(["setattr", "delattr"], "writes attributes"),
    **dict.fromkeys(["id", "memoryview"], "reads addresses"),
}

# methods of lists, dicts, sets, deques and arrays that write to them
MUTATORS = frozenset(
    words(
        "append extend insert pop remove clear sort reverse update setdefault popitem add "
        "discard appendleft extendleft popleft rotate move_to_end subtract fill itemset put "
        "partition resize setflags setfield byteswap intersection_update difference_update "
        "symmetric_difference_update __setitem__ __delitem__ __iadd__ __setattr__ "
        "__setstate__ backward retain_grad register_hook"
    )
)

# functions of pure modules that write to their first argument
WRITERS = frozenset(
    words(
        "at copyto put place putmask put_along_axis fill_diagonal setitem delitem iadd isub "
        "imul itruediv ifloordiv imod ipow imatmul iconcat iand ior ixor ilshift irshift "
        "heappush heappop heapify heapreplace heappushpop insort insort_left insort_right "
        "__setitem__ __delitem__ __setattr__ __delattr__ update_wrapper shuffle"
    )
)

# functions and attributes of arrays whose result may share memory with the array
ALIASING = frozenset(
    words(
        "asarray asanyarray ascontiguousarray asfortranarray array asarray_chkfinite reshape "
        "ravel transpose swapaxes moveaxis rollaxis squeeze unsqueeze expand_dims atleast_1d "
        "atleast_2d atleast_3d broadcast_to broadcast_arrays expand split array_split hsplit "
        "vsplit dsplit diagonal real imag view flip fliplr flipud rot90 nditer as_strided "
        "sliding_window_view require T mT H mH data flat base detach numpy from_numpy "
        "as_tensor as_array frombuffer tensor permute narrow select unbind chunk chain cycle "
        "islice accumulate partial reduce itemgetter getitem unfold flatten tree_map "
        "__getitem__ contiguous matrix_transpose nan_to_num astype to float double "
        "requires_grad_ tree_leaves"
    )
)

VIEWERS = ALIASING | frozenset(words("get items values keys copy pop popitem setdefault"))
"""Methods of arrays and containers that give out what is inside."""

CONTAINERS = frozenset(words("list tuple set dict frozenset sorted deque defaultdict OrderedDict"))
"""Builtins that make a new container of the old elements."""

PICKERS = frozenset(words("min max next iter map filter zip enumerate reversed getattr sum"))
"""Builtins whose result may be, or may give out, an element of their argument."""


def top_name(dotted) -> str:
    """'numpy' of 'numpy.linalg'; '' where there is no name."""
    return dotted.partition(".")[0] if isinstance(dotted, str) else ""


def impure_module(dotted) -> str | None:
    """What a module of this name reads besides its arguments, or None."""
    if isinstance(dotted, str) and (dotted + ".").startswith(("numpy.random.", "scipy.io.")):
        return "random numbers" if dotted.startswith("numpy") else "files"
    return IMPURE_MODULES.get(top_name(dotted))


def is_pure_module(dotted) -> bool:
    """Is this module trusted?"""
    return top_name(dotted) in PURE_MODULES and impure_module(dotted) is None


def home_of(value) -> str:
    """Dotted name of the module a function, type or other object comes from.

    A Python function's globals are asked, not `__module__`: functools.wraps(np.sin) copies the
    latter onto a user's wrapper.
    """
    if isinstance(value, types.FunctionType):
        return value.__globals__.get("__name__") or ""
    if isinstance(value, types.ModuleType):
        return value.__name__
    owner = getattr(value, "__self__", None)
    if isinstance(value, types.BuiltinFunctionType) and isinstance(owner, types.ModuleType):
        return owner.__name__
    home = getattr(value, "__module__", None)
    if not isinstance(home, str):
        home = getattr(getattr(value, "__objclass__", type(value)), "__module__", "")
    return home if isinstance(home, str) else ""


def denied_builtin(value) -> str | None:
    """Why calling this builtin function prevents caching, or None."""
    name = getattr(value, "__name__", None)
    if name in DENIED_BUILTINS and getattr(builtins, name, None) is value:
        return f"{name}() {DENIED_BUILTINS[name]}"
    return None


def is_stencil(value) -> bool:
    """Whether it is what `numba.stencil` makes: its body means something else than Python's."""
    kind = type(value)
    return kind.__name__ == "StencilFunc" and kind.__module__.startswith("numba.")
