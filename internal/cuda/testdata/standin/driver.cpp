// A stand-in for libcuda: a device whose memory is apart from the host's. STANDIN_DEVICES says
// how many there are; a process uses one at a time.
//
// Addresses of the device are no addresses of the host, so that who mixes them up is
// caught. Memory begins as bytes 0xff, which are NaN. Work of a stream is done as late as
// a real device may do it, when somebody waits for it: so memory that is read before
// that, or changed or freed before it was used, is caught too. Real devices report less.
#include "standin.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

namespace standin {

enum Result {
    OK = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    NOT_INITIALIZED = 3,
    NO_DEVICE = 100,
    INVALID_DEVICE = 101,
    INVALID_CONTEXT = 201,
    UNSUPPORTED_PTX_VERSION = 222,
    INVALID_HANDLE = 400,
    NOT_FOUND = 500,
    ILLEGAL_ADDRESS = 700,
    LAUNCH_FAILED = 719,
    STREAM_CAPTURE_UNSUPPORTED = 900,
};

const struct {
    int code;
    const char *name, *text;
} names[] = {
    {OK, "CUDA_SUCCESS", "no error"},
    {INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {NO_DEVICE, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {UNSUPPORTED_PTX_VERSION, "CUDA_ERROR_UNSUPPORTED_PTX_VERSION",
     "the provided PTX was compiled with an unsupported toolchain."},
    {INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {STREAM_CAPTURE_UNSUPPORTED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED",
     "operation not permitted when stream is capturing"},
};

struct Graph {
    std::vector<Operation> work;
};

struct Stream {
    std::deque<Operation> queue;
    int64_t issued = 0, done = 0;
    Graph *capture = nullptr;
    bool broken = false; // the capture met what it cannot hold
};

struct Event {
    Stream *stream = nullptr;
    int64_t ticket = 0;
};

struct Module {
    std::string text;
};

std::recursive_mutex mutex;
bool initialised;
int context;              // how often the primary one is retained
int retained;             // whose that is
thread_local bool current; // it is this thread's
int lost;                 // what every call returns from then on; 0 while all is well
std::string message;
int live;
size_t used, capacity = 8ull << 30;
int failing; // the allocation that fails, counted from 1; 0 for none

std::map<uint64_t, std::pair<char *, size_t>> memory; // of the device, by address
std::map<char *, size_t> pinned;                      // of the host
uint64_t nextAddress = 0x00e0000000000000;            // no host address has bit 55 alone

std::map<std::string, Kernel> &kernels() {
    static std::map<std::string, Kernel> all;
    return all;
}
std::set<Stream *> streams;
std::set<Event *> events;
std::set<Module *> modules;
std::set<Graph *> graphs; // and executable ones

void add(const Kernel &kernel) { kernels()[kernel.name] = kernel; }

void fault(const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    throw Fault{text};
}

char *resolve(uint64_t address, size_t &before, size_t &after) {
    auto next = memory.upper_bound(address);
    if (next == memory.begin()) return nullptr;
    auto &block = *--next;
    before = address - block.first;
    if (before > block.second.second) return nullptr;
    after = block.second.second - before;
    return block.second.first + before;
}

void *check(uint64_t address, size_t bytes) {
    size_t before, after;
    char *at = resolve(address, before, after);
    return at && bytes <= after ? at : nullptr;
}

char *checkHost(void *at, size_t bytes) {
    auto next = pinned.upper_bound(static_cast<char *>(at));
    if (next == pinned.begin()) return nullptr;
    auto &block = *--next;
    bool inside = static_cast<char *>(at) + bytes <= block.first + block.second;
    return inside ? static_cast<char *>(at) : nullptr;
}

void count(int more) {
    std::lock_guard<std::recursive_mutex> lock(mutex);
    live += more;
}

bool fail() { return failing > 0 && --failing == 0; }

// drain does the work of a stream up to a ticket.
void drain(Stream *s, int64_t until) {
    while (s->done < until && !s->queue.empty()) {
        Operation work = s->queue.front();
        s->queue.pop_front();
        s->done++;
        if (lost) continue;
        try {
            work();
        } catch (const Fault &f) {
            lost = ILLEGAL_ADDRESS;
            message = f.what;
        }
    }
}

int enqueue(void *stream, const Operation &work) {
    std::lock_guard<std::recursive_mutex> lock(mutex);
    Stream *s = static_cast<Stream *>(stream);
    if (!streams.count(s)) return INVALID_HANDLE;
    if (s->capture) {
        s->capture->work.push_back(work);
        return OK;
    }
    s->queue.push_back(work);
    s->issued++;
    return OK;
}

// entries counts the parameters of a kernel in a module's text; -1 if it is not there.
int entries(const std::string &text, const std::string &name) {
    size_t at = text.find(".entry " + name + "(");
    if (at == std::string::npos) return -1;
    size_t end = text.find(')', at + 8 + name.size());
    int count = 0;
    for (size_t p = text.find(".param", at); p != std::string::npos && p < end; p = text.find(".param", p + 1)) count++;
    return count;
}

} // namespace standin

using namespace standin;

// ENTER begins a call that needs a context; others only lock.
#define LOCK std::lock_guard<std::recursive_mutex> lock(mutex)
#define ENTER                                                                                                          \
    LOCK;                                                                                                              \
    if (!initialised) return NOT_INITIALIZED;                                                                          \
    if (!current) return INVALID_CONTEXT;                                                                              \
    if (lost) return lost

static bool capturing() {
    bool any = false;
    for (Stream *s : streams)
        if (s->capture) any = s->broken = true;
    return any;
}

API int cuInit(unsigned flags) {
    LOCK;
    if (getenv("STANDIN_NO_DEVICE")) return NO_DEVICE;
    initialised = true;
    return flags ? INVALID_VALUE : OK;
}

API int cuDriverGetVersion(int *version) {
    const char *set = getenv("STANDIN_VERSION");
    *version = set ? atoi(set) : 13000;
    return OK;
}

API int cuGetErrorName(int code, const char **name) {
    for (auto &n : names)
        if (n.code == code) {
            *name = n.name;
            return OK;
        }
    return INVALID_VALUE;
}

API int cuGetErrorString(int code, const char **text) {
    for (auto &n : names)
        if (n.code == code) {
            *text = n.text;
            return OK;
        }
    return INVALID_VALUE;
}

const int firstDevice = 7; // a device is not its ordinal

static int devices() {
    const char *set = getenv("STANDIN_DEVICES");
    return set ? atoi(set) : 1;
}

static bool known(int device) { return device >= firstDevice && device < firstDevice + devices(); }

API int cuDeviceGetCount(int *count) {
    if (!initialised) return NOT_INITIALIZED;
    *count = devices();
    return OK;
}

API int cuDeviceGet(int *device, int ordinal) {
    if (ordinal < 0 || ordinal >= devices()) return INVALID_DEVICE;
    *device = firstDevice + ordinal;
    return OK;
}

API int cuDeviceGetUuid_v2(unsigned char *uuid, int device) {
    if (!known(device)) return INVALID_DEVICE;
    memset(uuid, device, 16);
    return OK;
}

API int cuDeviceGetName(char *name, int length, int device) {
    if (!known(device)) return INVALID_DEVICE;
    snprintf(name, length, "stand-in, no GPU");
    return OK;
}

API int cuDeviceTotalMem_v2(size_t *bytes, int device) {
    if (!known(device)) return INVALID_DEVICE;
    *bytes = capacity;
    return OK;
}

API int cuDeviceGetAttribute(int *value, int attribute, int device) {
    if (!known(device)) return INVALID_DEVICE;
    switch (attribute) {
    case 16: *value = 132; return OK;
    case 75: *value = 9; return OK;
    case 76: *value = 0; return OK;
    }
    return INVALID_VALUE;
}

API int cuDevicePrimaryCtxRetain(void **made, int device) {
    LOCK;
    if (!known(device) || (context && device != retained)) return INVALID_DEVICE;
    if (lost) return lost;
    retained = device;
    context++;
    live++;
    *made = &context;
    return OK;
}

API int cuDevicePrimaryCtxRelease_v2(int device) {
    LOCK;
    if (!known(device)) return INVALID_DEVICE;
    if (context == 0 || device != retained) return INVALID_CONTEXT;
    context--;
    live--;
    if (context == 0) lost = 0; // the next one begins anew
    return OK;
}

API int cuCtxSetCurrent(void *of) {
    LOCK;
    if (of && of != &context) return INVALID_CONTEXT;
    current = of != nullptr;
    return OK;
}

API int cuMemGetInfo_v2(size_t *free, size_t *total) {
    ENTER;
    *total = capacity;
    *free = capacity - used;
    return OK;
}

API int cuMemAlloc_v2(uint64_t *address, size_t bytes) {
    ENTER;
    if (capturing()) return STREAM_CAPTURE_UNSUPPORTED;
    if (bytes == 0) return INVALID_VALUE;
    if (fail() || bytes > capacity - used) return OUT_OF_MEMORY;
    char *at = static_cast<char *>(malloc(bytes));
    if (!at) return OUT_OF_MEMORY;
    memset(at, 0xff, bytes);
    *address = nextAddress;
    memory[nextAddress] = {at, bytes};
    nextAddress += (bytes + (1 << 20)) / 512 * 512; // with a gap
    used += bytes;
    live++;
    return OK;
}

API int cuMemFree_v2(uint64_t address) {
    LOCK;
    if (!current) return INVALID_CONTEXT;
    if (capturing()) return STREAM_CAPTURE_UNSUPPORTED;
    auto found = memory.find(address);
    if (found == memory.end()) return INVALID_VALUE;
    used -= found->second.second;
    live--;
    free(found->second.first);
    memory.erase(found);
    return lost;
}

API int cuMemHostAlloc(void **at, size_t bytes, unsigned) {
    ENTER;
    if (capturing()) return STREAM_CAPTURE_UNSUPPORTED;
    if (bytes == 0) return INVALID_VALUE;
    if (fail()) return OUT_OF_MEMORY;
    *at = malloc(bytes);
    memset(*at, 0xff, bytes);
    pinned[static_cast<char *>(*at)] = bytes;
    live++;
    return OK;
}

API int cuMemFreeHost(void *at) {
    LOCK;
    if (!current) return INVALID_CONTEXT;
    if (!pinned.erase(static_cast<char *>(at))) return INVALID_VALUE;
    live--;
    free(at);
    return lost;
}

API int cuMemcpyHtoDAsync_v2(uint64_t to, void *from, size_t bytes, void *stream) {
    ENTER;
    if (!check(to, bytes) || !checkHost(from, bytes)) return INVALID_VALUE;
    return enqueue(stream, [=] {
        void *dst = check(to, bytes), *src = checkHost(from, bytes);
        if (!dst || !src) fault("memory was freed before it was copied");
        memcpy(dst, src, bytes);
    });
}

API int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t bytes, void *stream) {
    ENTER;
    if (!checkHost(to, bytes) || !check(from, bytes)) return INVALID_VALUE;
    return enqueue(stream, [=] {
        void *dst = checkHost(to, bytes), *src = check(from, bytes);
        if (!dst || !src) fault("memory was freed before it was copied");
        memcpy(dst, src, bytes);
    });
}

API int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t bytes, void *stream) {
    ENTER;
    if (!check(to, bytes) || !check(from, bytes)) return INVALID_VALUE;
    if (to < from + bytes && from < to + bytes && bytes) return INVALID_VALUE; // not defined
    return enqueue(stream, [=] {
        void *dst = check(to, bytes), *src = check(from, bytes);
        if (!dst || !src) fault("memory was freed before it was copied");
        memcpy(dst, src, bytes);
    });
}

API int cuMemsetD8Async(uint64_t to, unsigned char value, size_t bytes, void *stream) {
    ENTER;
    if (!check(to, bytes)) return INVALID_VALUE;
    return enqueue(stream, [=] {
        void *dst = check(to, bytes);
        if (!dst) fault("memory was freed before it was set");
        memset(dst, value, bytes);
    });
}

API int cuStreamCreate(void **stream, unsigned) {
    ENTER;
    Stream *s = new Stream;
    streams.insert(s);
    live++;
    *stream = s;
    return OK;
}

API int cuStreamDestroy_v2(void *stream) {
    LOCK;
    Stream *s = static_cast<Stream *>(stream);
    if (!streams.count(s)) return INVALID_HANDLE;
    drain(s, s->issued);
    streams.erase(s);
    for (Event *e : events)
        if (e->stream == s) e->stream = nullptr;
    delete s;
    live--;
    return OK;
}

API int cuStreamSynchronize(void *stream) {
    ENTER;
    Stream *s = static_cast<Stream *>(stream);
    if (!streams.count(s)) return INVALID_HANDLE;
    if (s->capture) {
        s->broken = true;
        return STREAM_CAPTURE_UNSUPPORTED;
    }
    drain(s, s->issued);
    return lost;
}

API int cuEventCreate(void **event, unsigned) {
    ENTER;
    Event *e = new Event;
    events.insert(e);
    live++;
    *event = e;
    return OK;
}

API int cuEventDestroy_v2(void *event) {
    LOCK;
    Event *e = static_cast<Event *>(event);
    if (!events.erase(e)) return INVALID_HANDLE;
    delete e;
    live--;
    return OK;
}

API int cuEventRecord(void *event, void *stream) {
    ENTER;
    Event *e = static_cast<Event *>(event);
    Stream *s = static_cast<Stream *>(stream);
    if (!events.count(e) || !streams.count(s)) return INVALID_HANDLE;
    if (s->capture) {
        s->broken = true;
        return STREAM_CAPTURE_UNSUPPORTED;
    }
    e->stream = s;
    e->ticket = s->issued;
    return OK;
}

API int cuEventSynchronize(void *event) {
    ENTER;
    Event *e = static_cast<Event *>(event);
    if (!events.count(e)) return INVALID_HANDLE;
    if (e->stream) drain(e->stream, e->ticket);
    return lost;
}

API int cuEventElapsedTime(float *milliseconds, void *from, void *to) {
    ENTER;
    if (!events.count(static_cast<Event *>(from)) || !events.count(static_cast<Event *>(to))) return INVALID_HANDLE;
    *milliseconds = 1; // it has no clock
    return OK;
}

API int cuStreamWaitEvent(void *stream, void *event, unsigned) {
    ENTER;
    Event *e = static_cast<Event *>(event);
    if (!events.count(e)) return INVALID_HANDLE;
    Stream *on = e->stream;
    int64_t ticket = e->ticket;
    return enqueue(stream, [=] {
        if (streams.count(on)) drain(on, ticket);
    });
}

API int cuModuleLoadDataEx(void **module, const void *image, unsigned, int *, void **) {
    ENTER;
    if (capturing()) return STREAM_CAPTURE_UNSUPPORTED;
    std::string text(static_cast<const char *>(image)); // a C string, or this runs past its end
    const char *head = ".version 9.0\n.target sm_80\n.address_size 64\n";
    if (text.find(head) == std::string::npos) return UNSUPPORTED_PTX_VERSION;
    Module *m = new Module{text};
    modules.insert(m);
    live++;
    *module = m;
    return OK;
}

API int cuModuleUnload(void *module) {
    LOCK;
    Module *m = static_cast<Module *>(module);
    if (!modules.erase(m)) return INVALID_HANDLE;
    delete m;
    live--;
    return OK;
}

API int cuModuleGetFunction(void **function, void *module, const char *name) {
    ENTER;
    Module *m = static_cast<Module *>(module);
    if (!modules.count(m)) return INVALID_HANDLE;
    auto found = kernels().find(name);
    if (found == kernels().end() || entries(m->text, name) != (int)found->second.sizes.size()) return NOT_FOUND;
    *function = &found->second;
    return OK;
}

API int cuLaunchKernel(void *function, unsigned gridX, unsigned gridY, unsigned gridZ, unsigned x, unsigned y,
                       unsigned z, unsigned sharedBytes, void *stream, void **parameters, void **extra) {
    ENTER;
    const Kernel *k = static_cast<Kernel *>(function);
    if (gridX == 0 || gridX > 0x7fffffff || gridY == 0 || gridY > 65535 || gridZ == 0 || gridZ > 65535 || x == 0 ||
        x > 256 || y != 1 || z != 1 || sharedBytes || extra)
        return INVALID_VALUE;
    std::vector<std::vector<char>> values;
    for (size_t i = 0; i < k->sizes.size(); i++) {
        const char *from = static_cast<const char *>(parameters[i]);
        values.emplace_back(from, from + k->sizes[i]);
    }
    return enqueue(stream, [=] {
        std::vector<const void *> at;
        for (auto &v : values) at.push_back(v.data());
        const unsigned grid[3] = {gridX, gridY, gridZ};
        run(*k, grid, x, at);
    });
}

API int cuStreamBeginCapture_v2(void *stream, int) {
    ENTER;
    Stream *s = static_cast<Stream *>(stream);
    if (!streams.count(s)) return INVALID_HANDLE;
    if (s->capture) return STREAM_CAPTURE_UNSUPPORTED;
    s->capture = new Graph;
    s->broken = false;
    return OK;
}

API int cuStreamEndCapture(void *stream, void **graph) {
    ENTER;
    Stream *s = static_cast<Stream *>(stream);
    if (!streams.count(s) || !s->capture) return INVALID_HANDLE;
    Graph *g = s->capture;
    s->capture = nullptr;
    if (s->broken) {
        delete g;
        *graph = nullptr;
        return STREAM_CAPTURE_UNSUPPORTED;
    }
    graphs.insert(g);
    live++;
    *graph = g;
    return OK;
}

API int cuGraphInstantiateWithFlags(void **executable, void *graph, unsigned long long) {
    ENTER;
    Graph *g = static_cast<Graph *>(graph);
    if (!graphs.count(g)) return INVALID_HANDLE;
    if (fail()) return OUT_OF_MEMORY;
    Graph *made = new Graph(*g);
    graphs.insert(made);
    live++;
    *executable = made;
    return OK;
}

API int cuGraphLaunch(void *executable, void *stream) {
    ENTER;
    Graph *g = static_cast<Graph *>(executable);
    if (!graphs.count(g)) return INVALID_HANDLE;
    return enqueue(stream, [g] {
        if (!graphs.count(g)) fault("a graph was destroyed before it ran");
        for (auto &work : g->work) work();
    });
}

API int cuGraphDestroy(void *graph) {
    LOCK;
    Graph *g = static_cast<Graph *>(graph);
    if (!graphs.erase(g)) return INVALID_HANDLE;
    delete g;
    live--;
    return OK;
}

API int cuGraphExecDestroy(void *graph) { return cuGraphDestroy(graph); }

// ---- for the tests

// What was made and not destroyed.
API int standinLive() { return live; }

API size_t standinUsed() { return used; }

// The n-th allocation from now on fails; 0 for none.
API void standinFail(int n) { failing = n; }

API int standinFailLeft() { return failing; }

API void standinCapacity(size_t bytes) { capacity = bytes; }

// The device is lost, as if by itself.
API void standinLose() {
    lost = LAUNCH_FAILED;
    message = "lost by a test";
}

API const char *standinMessage() { return message.c_str(); }
