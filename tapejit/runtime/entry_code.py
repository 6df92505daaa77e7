"""The native entry: how a call's Python objects reach kernels, and results become objects.

Never executed as Python: `codegen.words` prints it as IR, once a machine (see there for what
`word[p]` and `...` mean).  It interprets records that `entry` writes.  A record is what is to be
done with one kind of call, as a list of instructions: read the arguments, check the guards,
allocate, launch, build the answer.  An instruction is its number and its operands, a word each.
They work on two tables in the caller's frame:

    objects     Python objects, each of which is held until the call ends (0 and 1: args, kwargs)
    bases       addresses of memory that kernels read and write

Start at `enter`.  An instruction gives the place of the next one, or MISS (this record is not for
this call: try another, or do it in Python), or FAILED (an exception is set).
"""

from __future__ import annotations

from tapejit.codegen.words import LINKED, f64, i32, i32_at, i64, ptr, stack, u8, word

MISS, FAILED = 0, -1

# ---------------------------------------------------------------- layouts

HEAD = object.__basicsize__  # of a PyObject; its type is its last word
TYPE = HEAD - 8
TUPLE_ITEMS = tuple.__basicsize__
LIST_ITEMS = HEAD + 8  # a pointer to them
SIZE = HEAD
FLOAT_VALUE = HEAD  # also of NumPy's scalars
ARRAY_DATA, ARRAY_NDIM, ARRAY_SHAPE = HEAD, HEAD + 8, HEAD + 16
ARRAY_STRIDES, ARRAY_DTYPE, ARRAY_FLAGS = HEAD + 24, HEAD + 40, HEAD + 48
DTYPE_FACTS = HEAD + 8  # kind, letter, byte order, flags, number: eight bytes in all
CONTIGUOUS_AND_ALIGNED = 0x101
TO_WRITE = 0x501  # and writeable
PY_EQ = 2

# a record
N_OBJECTS, N_BASES, N_SCRATCH, ARENA, ARENA_IN_USE, CODE = 0, 8, 16, 24, 32, 40

# the list of records, most recently used first: how many, then their addresses
MOST_RUNS = 2  # records that one call runs before Python decides

# ---------------------------------------------------------------- instructions

# fmt: off
(READ_TUPLE, READ_LIST, READ_DICT, READ_ARRAY, READ_FLOAT, READ_SCALAR, SAME, EQUAL, LOOK,
 READ_SLOT, READ_OUT, APART, MEMBER, ITEM, ABSENT, UNCHANGED, HOLDS, FIXED, USE_ARENA, NEW_ARRAY,
 TAKE_ARRAY, STEP, AGREES, CALL, PART, MAKE_SCALAR, MAKE_FLOAT, MAKE_ITEM, MAKE_TUPLE, MAKE_LIST,
 MAKE_DICT, MAKE_COPY, COPY, GATHER, CONSTANT, DONE) = range(1, 37)
# fmt: on

# ---------------------------------------------------------------- what linking gives

Tuple: ptr = LINKED
List: ptr = LINKED
Dict: ptr = LINKED
Float: ptr = LINKED
Str: ptr = LINKED
Ndarray: ptr = LINKED
NONE: ptr = LINKED
TRUE: ptr = LINKED
EXCEPTION: ptr = LINKED
ITEM_NAME: ptr = LINKED


def Py_IncRef(o: ptr) -> None: ...
def Py_DecRef(o: ptr) -> None: ...
def PyTuple_New(n: i64) -> ptr: ...
def PyList_New(n: i64) -> ptr: ...
def PyDict_Copy(o: ptr) -> ptr: ...
def PyDict_Size(o: ptr) -> i64: ...
def PyDict_Next(o: ptr, position: ptr, key: ptr, value: ptr) -> i32: ...
def PyDict_GetItemWithError(o: ptr, key: ptr) -> ptr: ...
def PyDict_SetItem(o: ptr, key: ptr, value: ptr) -> i32: ...
def PyFloat_FromDouble(x: f64) -> ptr: ...
def PyObject_RichCompareBool(a: ptr, b: ptr, how: i32) -> i32: ...
def PyObject_CallNoArgs(o: ptr) -> ptr: ...
def PyObject_CallOneArg(o: ptr, argument: ptr) -> ptr: ...
def PyObject_VectorcallMethod(name: ptr, given: ptr, n: i64, names: ptr) -> ptr: ...
def PyErr_Clear() -> None: ...
def PyErr_Occurred() -> ptr: ...
def PyErr_ExceptionMatches(kind: ptr) -> i32: ...
def PyErr_NoMemory() -> ptr: ...
def PyMem_RawMalloc(n: i64) -> ptr: ...
def PyMem_RawFree(p: ptr) -> None: ...
def memmove(to: ptr, source: ptr, n: i64) -> ptr: ...
def PyArray_NewFromDescr(
    kind: ptr, dtype: ptr, ndim: i32, shape: ptr, strides: ptr, data: ptr, flags: i32, base: ptr
) -> ptr: ...
def PyArray_Scalar(data: ptr, dtype: ptr, base: ptr) -> ptr: ...
def PyArray_NewCopy(array: ptr, order: i32) -> ptr: ...
def run(record: ptr, args: ptr) -> None: ...  # the launcher's


# ---------------------------------------------------------------- the call


def enter(self, given, count):
    """enter(args, kwargs) -> the answer, or None where no record is for this call.

    Python may run meanwhile, in a guard or another thread, and change the list; then a record may
    be missed, and the call goes through Python.
    """
    records = word[self + ARRAY_DATA]
    runs = 0
    i = 0
    while i < word[records] and runs < MOST_RUNS and count == 2:
        holder = word[records + 8 + 8 * i]
        Py_IncRef(holder)  # another thread may let the record go meanwhile
        answer = attempt(word[holder + ARRAY_DATA], given)
        if answer > MISS:
            # others may have changed the list: only if it is still there, bring it to the front
            if i < word[records] and word[records + 8 + 8 * i] == holder:
                while i > 0:
                    word[records + 8 + 8 * i] = word[records + 8 * i]
                    i -= 1
                word[records + 8] = holder
            Py_DecRef(holder)
            return answer
        Py_DecRef(holder)
        if answer == FAILED:
            return 0
        runs += answer == RAN
        i += 1
    Py_IncRef(NONE)
    return NONE


RAN = -2  # as MISS, after kernels ran


def attempt(record, given):
    """The answer of one record; MISS, RAN or FAILED without."""
    n_objects = word[record + N_OBJECTS]
    objects = stack(8 * n_objects)
    bases = stack(8 * word[record + N_BASES])
    scratch = stack(word[record + N_SCRATCH])
    for i in range(n_objects):
        word[objects + 8 * i] = 0
    word[scratch] = 0  # memory to be freed
    hold(objects, 0, word[given])
    hold(objects, 1, word[given + 8])
    answer = follow(record, objects, bases, scratch)
    memory = word[scratch]
    if memory == word[record + ARENA] and memory != 0:
        word[record + ARENA_IN_USE] = 0
    elif memory != 0:
        PyMem_RawFree(memory)
    for i in range(n_objects):
        if word[objects + 8 * i] != 0:
            Py_DecRef(word[objects + 8 * i])
    return answer


def follow(record, objects, bases, scratch):
    """Do what the record says, instruction by instruction."""
    at = record + CODE
    has_run = 0
    while at > 0:
        what = word[at]
        if what == READ_TUPLE:
            at = read_tuple(at, objects)
        elif what == READ_LIST:
            at = read_list(at, objects)
        elif what == READ_DICT:
            at = read_dict(at, objects)
        elif what == READ_ARRAY:
            at = read_array(at, objects, bases)
        elif what == READ_FLOAT:
            at = read_float(at, objects, bases, scratch)
        elif what == READ_SCALAR:
            at = read_scalar(at, objects, bases)
        elif what == SAME:
            at = same(at, objects)
        elif what == EQUAL:
            at = equal(at, objects)
        elif what == LOOK:
            at = look(at, objects)
        elif what == READ_SLOT:
            at = read_slot(at, objects)
        elif what == READ_OUT:
            at = read_out(at, objects, bases)
        elif what == APART:
            at = apart(at, bases)
        elif what == MEMBER:
            at = member(at)
        elif what == ITEM:
            at = item(at)
        elif what == ABSENT:
            at = absent(at)
        elif what == UNCHANGED:
            at = unchanged(at)
        elif what == HOLDS:
            at = holds(at)
        elif what == FIXED:
            at = fixed(at, bases)
        elif what == USE_ARENA:
            at = use_arena(at, record, bases, scratch)
        elif what == NEW_ARRAY:
            at = new_array(at, objects, bases)
        elif what == TAKE_ARRAY:
            at = take_array(at, objects, bases)
        elif what == STEP:
            has_run = 1
            at = step(at, bases, scratch)
        elif what == AGREES:
            at = agrees(at, bases)
        elif what == CALL:
            has_run = 1
            at = call(at, objects)
        elif what == PART:
            at = part(at, objects)
        elif what == MAKE_SCALAR:
            at = make_scalar(at, objects, bases)
        elif what == MAKE_FLOAT:
            at = make_float(at, objects, bases)
        elif what == MAKE_ITEM:
            at = make_item(at, objects)
        elif what == MAKE_TUPLE:
            at = make_tuple(at, objects)
        elif what == MAKE_LIST:
            at = make_list(at, objects)
        elif what == MAKE_DICT:
            at = make_dict(at, objects)
        elif what == MAKE_COPY:
            at = make_copy(at, objects)
        elif what == COPY:
            at = copy(at, bases)
        elif what == GATHER:
            at = gather(at, bases)
        elif what == CONSTANT:
            at = constant(at, objects)
        else:
            place = objects + 8 * word[at + 8]
            answer = word[place]
            word[place] = 0
            return answer
    if at == MISS and has_run:
        return RAN
    return at


def hold(objects, i, o):
    """Put an object into the table, with a reference of its own."""
    Py_IncRef(o)
    word[objects + 8 * i] = o


def put(objects, i, o, following):
    """Put a new object into the table; it may be missing, and then an exception is set."""
    if o == 0:
        return FAILED
    word[objects + 8 * i] = o
    return following


# ---------------------------------------------------------------- reading
#
# source: where the object to be read lies; first: where its items go


def read_tuple(at, objects):
    """source, n, first"""
    o = word[objects + 8 * word[at + 8]]
    n = word[at + 16]
    if word[o + TYPE] != Tuple or word[o + SIZE] != n:
        return MISS
    for i in range(n):
        hold(objects, word[at + 24] + i, word[o + TUPLE_ITEMS + 8 * i])
    return at + 32


def read_list(at, objects):
    """source, n, first"""
    o = word[objects + 8 * word[at + 8]]
    n = word[at + 16]
    if word[o + TYPE] != List or word[o + SIZE] != n:
        return MISS
    for i in range(n):
        hold(objects, word[at + 24] + i, word[word[o + LIST_ITEMS] + 8 * i])
    return at + 32


def read_dict(at, objects):
    """source, n, first, keys...: those keys in that order"""
    o = word[objects + 8 * word[at + 8]]
    n = word[at + 16]
    if word[o + TYPE] != Dict or PyDict_Size(o) != n:
        return MISS
    if n == 0:
        return at + 32
    place = stack(24)
    word[place] = 0
    for i in range(n):
        if not PyDict_Next(o, place, place + 8, place + 16):
            return MISS
        key = word[place + 8]
        wanted = word[at + 32 + 8 * i]
        if key != wanted and not (word[key + TYPE] == Str and is_equal(key, wanted)):
            return MISS
        hold(objects, word[at + 24] + i, word[place + 16])
    return at + 32 + 8 * n


def read_array(at, objects, bases):
    """source, base, dtype, ndim, shape...: exactly an ndarray; one of another layout is copied"""
    place = objects + 8 * word[at + 8]
    o = word[place]
    if not is_like(o, at + 24):
        return MISS
    if i32_at[o + ARRAY_FLAGS] & CONTIGUOUS_AND_ALIGNED != CONTIGUOUS_AND_ALIGNED:
        o = PyArray_NewCopy(o, 0)
        if o == 0:
            return FAILED
        Py_DecRef(word[place])
        word[place] = o
    word[bases + 8 * word[at + 16]] = word[o + ARRAY_DATA]
    return at + 40 + 8 * word[at + 32]


def read_out(at, objects, bases):
    """source, base, dtype, ndim, shape...: exactly an ndarray that kernels can write into"""
    o = word[objects + 8 * word[at + 8]]
    if not is_like(o, at + 24) or i32_at[o + ARRAY_FLAGS] & TO_WRITE != TO_WRITE:
        return MISS
    word[bases + 8 * word[at + 16]] = word[o + ARRAY_DATA]
    return at + 40 + 8 * word[at + 32]


def is_like(o, kind):
    """Whether it is exactly an ndarray of this kind: dtype, ndim, shape..."""
    if word[o + TYPE] != Ndarray:
        return 0
    if word[word[o + ARRAY_DTYPE] + DTYPE_FACTS] != word[word[kind] + DTYPE_FACTS]:
        return 0
    ndim = word[kind + 8]
    if i32_at[o + ARRAY_NDIM] != ndim:
        return 0
    shape = word[o + ARRAY_SHAPE]
    for i in range(ndim):
        if word[shape + 8 * i] != word[kind + 16 + 8 * i]:
            return 0
    return 1


def apart(at, bases):
    """base, bytes, base, bytes: memory that does not overlap"""
    a = word[bases + 8 * word[at + 8]]
    b = word[bases + 8 * word[at + 24]]
    if a < b + word[at + 32] and b < a + word[at + 16]:
        return MISS
    return at + 40


def read_float(at, objects, bases, scratch):
    """source, base, where in scratch"""
    o = word[objects + 8 * word[at + 8]]
    if word[o + TYPE] != Float:
        return MISS
    place = scratch + word[at + 24]
    word[place] = word[o + FLOAT_VALUE]
    word[bases + 8 * word[at + 16]] = place
    return at + 32


def read_scalar(at, objects, bases):
    """source, base, type: exactly this kind of NumPy scalar"""
    o = word[objects + 8 * word[at + 8]]
    if word[o + TYPE] != word[at + 24]:
        return MISS
    word[bases + 8 * word[at + 16]] = o + FLOAT_VALUE
    return at + 32


def read_slot(at, objects):
    """source, type, offset, target: what lies there in an object of exactly this type"""
    o = word[objects + 8 * word[at + 8]]
    if word[o + TYPE] != word[at + 16]:
        return MISS
    found = word[o + word[at + 24]]
    if found == 0:
        return MISS
    hold(objects, word[at + 32], found)
    return at + 40


def same(at, objects):
    """source, object"""
    if word[objects + 8 * word[at + 8]] != word[at + 16]:
        return MISS
    return at + 24


def equal(at, objects):
    """source, object: of the same type (one that compares without running Python) and equal"""
    if not is_equal(word[objects + 8 * word[at + 8]], word[at + 16]):
        return MISS
    return at + 24


def is_equal(a, b):
    """The same, or of the same type and equal; asked of types that compare without Python."""
    if a == b:
        return 1
    return word[a + TYPE] == word[b + TYPE] and PyObject_RichCompareBool(a, b, PY_EQ) == 1


def look(at, objects):
    """address, target: the object that is there now"""
    o = word[word[at + 8]]
    if o == 0:
        return MISS
    hold(objects, word[at + 16], o)
    return at + 24


# ---------------------------------------------------------------- guards


def member(at):
    """address, word: still there"""
    if word[word[at + 8]] != word[at + 16]:
        return MISS
    return at + 24


def item(at):
    """dict, key, object: dict[key] is object"""
    o = PyDict_GetItemWithError(word[at + 8], word[at + 16])
    if o == word[at + 24]:
        return at + 32
    PyErr_Clear()
    return MISS


def absent(at):
    """dict, key: key not in dict"""
    if PyDict_GetItemWithError(word[at + 8], word[at + 16]) == 0 and PyErr_Occurred() == 0:
        return at + 24
    PyErr_Clear()
    return MISS


def unchanged(at):
    """array, dtype, copy, bytes, ndim, then lengths and strides in turn: contents as in the copy"""
    o = word[at + 8]
    ndim = word[at + 40]
    if word[o + ARRAY_DTYPE] != word[at + 16] or i32_at[o + ARRAY_NDIM] != ndim:
        return MISS
    shape = word[o + ARRAY_SHAPE]
    strides = word[o + ARRAY_STRIDES]
    for i in range(ndim):
        if word[shape + 8 * i] != word[at + 48 + 16 * i]:
            return MISS
        if word[strides + 8 * i] != word[at + 56 + 16 * i]:
            return MISS
    data = word[o + ARRAY_DATA]
    copied = word[at + 24]
    n = word[at + 32]
    i = 0
    while i + 8 <= n:
        if word[data + i] != word[copied + i]:
            return MISS
        i += 8
    while i < n:
        if u8[data + i] != u8[copied + i]:
            return MISS
        i += 1
    return at + 48 + 16 * ndim


def holds(at):
    """function: it returns True"""
    o = PyObject_CallNoArgs(word[at + 8])
    if o == 0:
        return FAILED
    Py_DecRef(o)
    if o != TRUE:
        return MISS
    return at + 16


# ---------------------------------------------------------------- running


def fixed(at, bases):
    """base, address"""
    word[bases + 8 * word[at + 8]] = word[at + 16]
    return at + 24


def use_arena(at, record, bases, scratch):
    """base, bytes, where in scratch (0: the record's own, or fresh while that is in use)"""
    place = scratch + word[at + 24]
    if word[at + 24] == 0:
        if word[record + ARENA_IN_USE] == 0:
            word[record + ARENA_IN_USE] = 1
            place = word[record + ARENA]
        else:
            place = PyMem_RawMalloc(word[at + 16])
            if place == 0:
                PyErr_NoMemory()
                return FAILED
        word[scratch] = place
    word[bases + 8 * word[at + 8]] = place
    return at + 32


def new_array(at, objects, bases):
    """target, base, dtype, ndim, shape..."""
    ndim = word[at + 32]
    Py_IncRef(word[at + 24])
    o = PyArray_NewFromDescr(Ndarray, word[at + 24], ndim, at + 40, 0, 0, 0, 0)
    if o == 0:
        return FAILED
    word[objects + 8 * word[at + 8]] = o
    word[bases + 8 * word[at + 16]] = word[o + ARRAY_DATA]
    return at + 40 + 8 * ndim


def take_array(at, objects, bases):
    """target, base, function: the array that it returns"""
    o = PyObject_CallNoArgs(word[at + 24])
    if o == 0:
        return FAILED
    word[objects + 8 * word[at + 8]] = o
    word[bases + 8 * word[at + 16]] = word[o + ARRAY_DATA]
    return at + 32


def step(at, bases, scratch):
    """record, where in scratch, n, then n times a base and an offset: one launch"""
    args = scratch + word[at + 16]
    n = word[at + 24]
    for i in range(n):
        pair = at + 32 + 16 * i
        word[args + 8 * i] = word[bases + 8 * word[pair]] + word[pair + 8]
    run(word[at + 8], args)
    return at + 32 + 16 * n


def agrees(at, bases):
    """base, offset, bytes (1, 4 or 8), word: what the program read is what the recording read"""
    place = word[bases + 8 * word[at + 8]] + word[at + 16]
    size = word[at + 24]
    value = word[at + 32]
    if size == 8 and word[place] == value:
        return at + 40
    if size == 4 and i32_at[place] == value:
        return at + 40
    if size == 1 and u8[place] == value:
        return at + 40
    return MISS


def call(at, objects):
    """target, function, n, sources...: function([...]) gives a list; None is a miss"""
    n = word[at + 24]
    given = PyList_New(n)
    if given == 0:
        return FAILED
    for i in range(n):
        o = word[objects + 8 * word[at + 32 + 8 * i]]
        Py_IncRef(o)
        word[word[given + LIST_ITEMS] + 8 * i] = o
    o = PyObject_CallOneArg(word[at + 16], given)
    Py_DecRef(given)
    if o == 0:
        if PyErr_ExceptionMatches(EXCEPTION):  # perhaps of a branch not taken: Python knows
            PyErr_Clear()
            return MISS
        return FAILED
    word[objects + 8 * word[at + 8]] = o
    if word[o + TYPE] != List:
        return MISS
    return at + 32 + 8 * n


def part(at, objects):
    """target, source, i: an item of a list that `call` gave"""
    o = word[objects + 8 * word[at + 16]]
    hold(objects, word[at + 8], word[word[o + LIST_ITEMS] + 8 * word[at + 24]])
    return at + 32


# ---------------------------------------------------------------- building


def make_scalar(at, objects, bases):
    """target, base, offset, dtype"""
    data = word[bases + 8 * word[at + 16]] + word[at + 24]
    return put(objects, word[at + 8], PyArray_Scalar(data, word[at + 32], 0), at + 40)


def make_float(at, objects, bases):
    """target, base, offset"""
    o = PyFloat_FromDouble(word[word[bases + 8 * word[at + 16]] + word[at + 24]])
    return put(objects, word[at + 8], o, at + 32)


def make_item(at, objects):
    """target, source: source.item()"""
    given = stack(8)
    word[given] = word[objects + 8 * word[at + 16]]
    o = PyObject_VectorcallMethod(ITEM_NAME, given, 1, 0)
    return put(objects, word[at + 8], o, at + 24)


def take(objects, i):
    """A reference to give away."""
    o = word[objects + 8 * i]
    Py_IncRef(o)
    return o


def make_tuple(at, objects):
    """target, n, sources..."""
    n = word[at + 16]
    o = PyTuple_New(n)
    if o != 0:
        for i in range(n):
            word[o + TUPLE_ITEMS + 8 * i] = take(objects, word[at + 24 + 8 * i])
    return put(objects, word[at + 8], o, at + 24 + 8 * n)


def make_list(at, objects):
    """target, n, sources..."""
    n = word[at + 16]
    o = PyList_New(n)
    if o != 0:
        for i in range(n):
            word[word[o + LIST_ITEMS] + 8 * i] = take(objects, word[at + 24 + 8 * i])
    return put(objects, word[at + 8], o, at + 24 + 8 * n)


def make_dict(at, objects):
    """target, dict, n, then n times a key and a source; the dict has these keys in this order"""
    n = word[at + 24]
    o = PyDict_Copy(word[at + 16])  # it is large enough from the start
    if o == 0:
        return FAILED
    word[objects + 8 * word[at + 8]] = o
    for i in range(n):
        pair = at + 32 + 16 * i
        if PyDict_SetItem(o, word[pair], word[objects + 8 * word[pair + 8]]) != 0:
            return FAILED
    return at + 32 + 16 * n


def make_copy(at, objects):
    """target, array: a fresh copy of it"""
    return put(objects, word[at + 8], PyArray_NewCopy(word[at + 16], 0), at + 24)


def copy(at, bases):
    """base, from base, offset, bytes"""
    source = word[bases + 8 * word[at + 16]] + word[at + 24]
    memmove(word[bases + 8 * word[at + 8]], source, word[at + 32])
    return at + 40


def gather(at, bases):
    """base, from base, offset, bytes of an item (4 or 8), ndim, then lengths and strides in turn"""
    to = word[bases + 8 * word[at + 8]]
    source = word[bases + 8 * word[at + 16]] + word[at + 24]
    size = word[at + 32]
    ndim = word[at + 40]
    index = stack(8 * ndim)
    n = 1
    for k in range(ndim):
        word[index + 8 * k] = 0
        n = n * word[at + 48 + 16 * k]
    for _ in range(n):
        if size == 8:
            word[to] = word[source]
        else:
            i32_at[to] = i32_at[source]
        to += size
        k = ndim - 1
        while k >= 0:
            length = word[at + 48 + 16 * k]
            stride = word[at + 56 + 16 * k]
            source += stride
            word[index + 8 * k] = word[index + 8 * k] + 1
            if word[index + 8 * k] < length:
                break
            source -= stride * length
            word[index + 8 * k] = 0
            k -= 1
    return at + 48 + 16 * ndim


def constant(at, objects):
    """target, object"""
    hold(objects, word[at + 8], word[at + 16])
    return at + 24
