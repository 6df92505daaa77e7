/* A stand-in for NVIDIA's driver: libcuda.so.1 that takes calls down and runs no kernel.

   Memory is malloc's, copies are memcpy's and done at once, handles are numbers.  A cubin's own
   notes say how long each parameter of its kernel is, so what is written down of a launch are the
   bytes that a card would get.  A function that is not here is not found, as in an old driver.

     recorder_text()          what was called since recorder_clear(), a line each
     recorder_mute(yes)       take nothing down, to see what calls cost
     recorder_fail(f, e, n)   the n-th call of f from now on, and all later ones, answer e; 0 ends it

   RECORDER_INIT, _VERSION, _DEVICES, _CAPABILITY (90), _POOLS, _MEMORY (bytes) set what there is.

   Build:  gcc -shared -fPIC -Wl,-soname,libcuda.so.1 -o libcuda.so.1 driver.c -ldl               */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int Status;
typedef uint64_t Address;

enum { OK = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_FOUND = 500 };

/* -------------------------------------------------------------------------- what was called */

static char *text;
static size_t text_length, text_room;

static int is_mute;
void recorder_mute(int yes) { is_mute = yes; }

static void line(const char *format, ...) {
    if (is_mute) return;
    char words[4096];
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(words, sizeof words - 1, format, arguments);
    va_end(arguments);
    if (n > (int)sizeof words - 2) n = sizeof words - 2;
    words[n++] = '\n';
    if (text_length + n + 1 > text_room) text = realloc(text, text_room = 2 * text_room + 8192);
    memcpy(text + text_length, words, n);
    text[text_length += n] = 0;
}

const char *recorder_text(void) { return text ? text : ""; }
void recorder_clear(void) { text_length = 0; if (text) *text = 0; }

static char failing[64];
static int failure, calls_before;

void recorder_fail(const char *function, int status, int nth) {
    snprintf(failing, sizeof failing, "%s", function);
    failure = status;
    calls_before = nth - 1;
}

static Status result_of(const char *function) {
    if (!failure || strcmp(function, failing)) return OK;
    return calls_before-- > 0 ? OK : failure;
}

#define CALLED(...) do { line(__VA_ARGS__); Status s_ = result_of(__func__); if (s_) return s_; } while (0)
#define QUIETLY do { Status s_ = result_of(__func__); if (s_) return s_; } while (0)

static long setting(const char *name, long otherwise) {
    const char *value = getenv(name);
    return value ? atol(value) : otherwise;
}

/* -------------------------------------------------------------------------- devices, contexts */

Status cuInit(unsigned flags) { return setting("RECORDER_INIT", OK); }
Status cuDriverGetVersion(int *v) { *v = setting("RECORDER_VERSION", 13000); return OK; }
Status cuDeviceGetCount(int *n) { *n = setting("RECORDER_DEVICES", 1); return OK; }
Status cuDeviceGet(int *device, int number) { *device = number; return OK; }
Status cuDeviceGetName(char *name, int n, int device) {
    snprintf(name, n, "recorder %d", device);
    return OK;
}
Status cuDeviceGetUuid(void *uuid, int device) { memset(uuid, 7 + device, 16); return OK; }
Status cuDeviceGetAttribute(int *value, int attribute, int device) {
    long capability = setting("RECORDER_CAPABILITY", 90);
    *value = 1024;
    if (attribute == 75) *value = capability / 10;
    if (attribute == 76) *value = capability % 10;
    if (attribute == 115) *value = setting("RECORDER_POOLS", 1);
    return OK;
}
Status cuDevicePrimaryCtxRetain(void **context, int device) {
    *context = (void *)(intptr_t)(0x1000 + device);
    return OK;
}
Status cuDevicePrimaryCtxRelease(int device) { return OK; }
static __thread void *current_context;
Status cuCtxSetCurrent(void *context) {
    line("cuCtxSetCurrent %p", context);
    current_context = context;
    return OK;
}
Status cuCtxGetCurrent(void **context) { *context = current_context; return OK; }
Status cuCtxGetDevice(int *device) { *device = (int)(intptr_t)current_context & 0xff; return OK; }
Status cuCtxGetId(void *context, unsigned long long *id) { *id = (uintptr_t)context; return OK; }
Status cuCtxSynchronize(void) { CALLED("cuCtxSynchronize"); return OK; }

/* -------------------------------------------------------------------------- streams, events */

static intptr_t handles = 0x2000;
static void *new_handle(void) { return (void *)(handles += 0x10); }
static intptr_t number(void *handle) { return (intptr_t)handle; }

Status cuStreamCreateWithPriority(void **stream, unsigned flags, int priority) {
    *stream = new_handle();
    CALLED("cuStreamCreateWithPriority flags=%u priority=%d -> %#lx", flags, priority, number(*stream));
    return OK;
}
Status cuStreamDestroy(void *s) { CALLED("cuStreamDestroy %#lx", number(s)); return OK; }
Status cuStreamSynchronize(void *s) { CALLED("cuStreamSynchronize %#lx", number(s)); return OK; }
Status cuStreamQuery(void *s) { QUIETLY; return OK; }
Status cuStreamGetCtx(void *s, void **context) { *context = current_context; return OK; }
Status cuStreamGetFlags(void *s, unsigned *flags) { *flags = 1; return OK; }
Status cuStreamIsCapturing(void *s, int *status) { *status = 0; return OK; }
Status cuStreamWaitEvent(void *s, void *event, unsigned flags) {
    CALLED("cuStreamWaitEvent %#lx event=%#lx", number(s), number(event));
    return OK;
}
Status cuEventCreate(void **event, unsigned flags) { *event = new_handle(); QUIETLY; return OK; }
Status cuEventDestroy(void *event) { return OK; }
Status cuEventRecord(void *event, void *s) {
    CALLED("cuEventRecord %#lx stream=%#lx", number(event), number(s));
    return OK;
}
Status cuEventQuery(void *event) { QUIETLY; return OK; }
Status cuEventSynchronize(void *event) { CALLED("cuEventSynchronize %#lx", number(event)); return OK; }
Status cuEventElapsedTime(float *ms, void *first, void *second) { *ms = 1.5f; QUIETLY; return OK; }

Status cuStreamBeginCapture(void *s, int mode) {
    CALLED("cuStreamBeginCapture %#lx mode=%d", number(s), mode);
    return OK;
}
Status cuStreamEndCapture(void *s, void **graph) {
    *graph = new_handle();
    CALLED("cuStreamEndCapture %#lx -> %#lx", number(s), number(*graph));
    return OK;
}
Status cuGraphInstantiateWithFlags(void **ready, void *graph, unsigned long long flags) {
    *ready = new_handle();
    CALLED("cuGraphInstantiateWithFlags %#lx -> %#lx", number(graph), number(*ready));
    return OK;
}
Status cuGraphLaunch(void *ready, void *s) {
    CALLED("cuGraphLaunch %#lx stream=%#lx", number(ready), number(s));
    return OK;
}
Status cuGraphDestroy(void *graph) { CALLED("cuGraphDestroy %#lx", number(graph)); return OK; }
Status cuGraphExecDestroy(void *ready) { CALLED("cuGraphExecDestroy %#lx", number(ready)); return OK; }

/* -------------------------------------------------------------------------- memory */

typedef struct Block {
    struct Block *next;
    size_t n;
} Block; /* 256 bytes before its memory */

static Block *blocks;
static size_t in_use;
static size_t total(void) { return setting("RECORDER_MEMORY", 1 << 30); }

Status cuMemPoolCreate(void **pool, const void *properties) {
    const int *words = properties; /* allocation, handles, kind of place, place */
    *pool = new_handle();
    CALLED("cuMemPoolCreate %d %d %d %d", words[0], words[1], words[2], words[3]);
    return OK;
}
Status cuMemPoolDestroy(void *pool) { return OK; }
Status cuMemPoolSetAttribute(void *pool, int attribute, void *value) {
    CALLED("cuMemPoolSetAttribute %d %#lx", attribute, *(uint64_t *)value);
    return OK;
}
Status cuMemPoolGetAttribute(void *pool, int attribute, void *value) {
    *(uint64_t *)value = in_use;
    return OK;
}
Status cuMemPoolTrimTo(void *pool, size_t keep) { CALLED("cuMemPoolTrimTo %zu", keep); return OK; }
Status cuMemAllocFromPoolAsync(Address *address, size_t n, void *pool, void *s) {
    line("cuMemAllocFromPoolAsync %zu stream=%#lx", n, number(s));
    Status status = result_of(__func__);
    if (status || in_use + n > total()) return status ? status : OUT_OF_MEMORY;
    Block *block = aligned_alloc(256, 256 + (n + 255) / 256 * 256);
    *block = (Block){blocks, n};
    blocks = block;
    in_use += n;
    *address = (Address)block + 256;
    return OK;
}
Status cuMemFreeAsync(Address address, void *s) {
    CALLED("cuMemFreeAsync stream=%#lx", number(s));
    Block **link = &blocks;
    while (*link && (Address)*link + 256 != address) link = &(*link)->next;
    if (!*link) return INVALID_VALUE;
    Block *block = *link;
    *link = block->next;
    in_use -= block->n;
    free(block);
    return OK;
}
Status cuPointerGetAttribute(void *value, int attribute, Address address) {
    Block *block = blocks;
    while (block && (address < (Address)block + 256 || address >= (Address)block + 256 + block->n))
        block = block->next;
    if (!block || attribute != 9) return INVALID_VALUE; /* of which device */
    *(int *)value = 0;
    return OK;
}
Status cuMemGetInfo(size_t *left, size_t *all) { *all = total(); *left = *all - in_use; return OK; }
Status cuMemHostAlloc(void **area, size_t n, unsigned flags) {
    *area = aligned_alloc(4096, n);
    CALLED("cuMemHostAlloc %zu", n);
    return OK;
}
Status cuMemcpyHtoDAsync(Address to, const void *from, size_t n, void *s) {
    CALLED("cuMemcpyHtoDAsync %zu stream=%#lx", n, number(s));
    memcpy((void *)to, from, n);
    return OK;
}
Status cuMemcpyDtoHAsync(void *to, Address from, size_t n, void *s) {
    CALLED("cuMemcpyDtoHAsync %zu stream=%#lx", n, number(s));
    memcpy(to, (void *)from, n);
    return OK;
}
Status cuMemcpyDtoDAsync(Address to, Address from, size_t n, void *s) {
    CALLED("cuMemcpyDtoDAsync %zu stream=%#lx", n, number(s));
    memmove((void *)to, (void *)from, n);
    return OK;
}

/* -------------------------------------------------------------------------- kernels */

typedef struct Kernel {
    char name[128];
    int n_parameters;
    unsigned offsets[256], sizes[256];
    struct Kernel *next; /* of a library: a function that is called has a section too */
} Kernel;

/* A section of notes is a list of (format, attribute, ...); 4 is "as long as the next two bytes
   say", and its attribute 0x17 a parameter: number at 4, offset at 6, size in the top 14 bits of
   the word at 8. */
static void read_parameters(Kernel *kernel, const uint8_t *note, const uint8_t *end) {
    while (note + 4 <= end) {
        unsigned length = note[2] | note[3] << 8;
        const uint8_t *value = note + 4;
        if (note[0] == 4 && note[1] == 0x17) {
            unsigned place = value[4] | value[5] << 8, word;
            memcpy(&word, value + 8, 4);
            kernel->offsets[place] = value[6] | value[7] << 8;
            kernel->sizes[place] = word >> 18;
            if ((int)place >= kernel->n_parameters) kernel->n_parameters = place + 1;
        }
        note = value + (note[0] == 4 ? length : 0);
    }
}

Status cuLibraryLoadData(void **library, const void *code, void *a, void *b, unsigned n, void *c,
                         void *d, unsigned m) {
    const uint8_t *image = code;
    if (memcmp(image, ELFMAG, SELFMAG)) return INVALID_VALUE;
    const Elf64_Ehdr *head = code;
    const Elf64_Shdr *sections = (const void *)(image + head->e_shoff);
    const char *names = (const char *)image + sections[head->e_shstrndx].sh_offset;
    Kernel *kernel = NULL;
    for (int i = 0; i < head->e_shnum; i++) {
        const char *name = names + sections[i].sh_name;
        if (strncmp(name, ".nv.info.", 9)) continue;
        Kernel *before = kernel;
        kernel = calloc(1, sizeof *kernel);
        kernel->next = before;
        snprintf(kernel->name, sizeof kernel->name, "%s", name + 9);
        const uint8_t *notes = image + sections[i].sh_offset;
        read_parameters(kernel, notes, notes + sections[i].sh_size);
    }
    *library = kernel;
    CALLED("cuLibraryLoadData");
    return OK;
}
Status cuLibraryUnload(void *library) { return OK; }
Status cuLibraryGetKernel(void **kernel, void *library, const char *name) {
    Kernel *found = library;
    while (found && strcmp(found->name, name)) found = found->next;
    *kernel = found;
    CALLED("cuLibraryGetKernel %s", name);
    return found ? OK : NOT_FOUND;
}
Status cuKernelGetLibrary(void **library, void *kernel) { *library = kernel; return OK; }
Status cuKernelGetAttribute(int *value, int attribute, void *kernel, int device) { *value = 32; return OK; }
Status cuKernelGetParamInfo(void *handle, size_t i, size_t *offset, size_t *size) {
    Kernel *kernel = handle;
    if ((int)i >= kernel->n_parameters) return INVALID_VALUE;
    *offset = kernel->offsets[i];
    if (size) *size = kernel->sizes[i];
    return OK;
}

typedef struct {
    unsigned grid_x, grid_y, grid_z, block_x, block_y, block_z, shared;
    void *stream;
    void *attributes;
    unsigned n_attributes;
} Configuration;

Status cuLaunchKernelEx(const Configuration *c, void *handle, void **parameters, void **extra) {
    Kernel *kernel = handle;
    char values[2048] = "", *end = values;
    for (int i = 0; i < kernel->n_parameters; i++) {
        long value = 0;
        if (kernel->sizes[i] == 4) value = *(int32_t *)parameters[i];
        else memcpy(&value, parameters[i], kernel->sizes[i]);
        end += sprintf(end, " %ld", value);
    }
    CALLED("cuLaunchKernelEx %s grid=%u,%u,%u block=%u,%u,%u shared=%u stream=%#lx:%s", kernel->name,
           c->grid_x, c->grid_y, c->grid_z, c->block_x, c->block_y, c->block_z, c->shared,
           number(c->stream), values);
    return OK;
}
Status cuLaunchKernel(void *kernel, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                      unsigned bz, unsigned shared, void *stream, void **parameters, void **extra) {
    Configuration c = {gx, gy, gz, bx, by, bz, shared, stream, 0, 0};
    return cuLaunchKernelEx(&c, kernel, parameters, extra);
}

/* -------------------------------------------------------------------------- the rest */

Status cuGetErrorName(int status, const char **name) {
    *name = status == 700 ? "CUDA_ERROR_ILLEGAL_ADDRESS" : "CUDA_ERROR_RECORDED";
    return OK;
}
Status cuGetErrorString(int status, const char **words) { *words = "as it was told to"; return OK; }

/* The driver's versioned names (_v2, _ptsz...) are one function here. */
Status cuGetProcAddress_v2(const char *symbol, void **function, int version, uint64_t flags,
                           int *found) {
    static const char *endings[] = {"_v2", "_v3", "_v4", "_ptsz", "_ptds"};
    char name[128];
    snprintf(name, sizeof name, "%s", symbol);
    void *self = dlopen("libcuda.so.1", RTLD_NOLOAD | RTLD_NOW);
    *function = dlsym(self, name);
    for (int i = 0; !*function && i < 5; i++) {
        size_t n = strlen(name), m = strlen(endings[i]);
        if (n > m && !strcmp(name + n - m, endings[i])) {
            name[n - m] = 0;
            *function = dlsym(self, name);
            i = -1;
        }
    }
    if (found) *found = *function ? 0 : 1;
    return *function ? OK : NOT_FOUND;
}
Status cuGetProcAddress(const char *symbol, void **function, int version, uint64_t flags,
                        int *found) {
    return cuGetProcAddress_v2(symbol, function, version, flags, found);
}
