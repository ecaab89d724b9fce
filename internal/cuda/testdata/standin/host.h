// The device that kernels see when they are compiled for the host: loops over blocks and
// threads, memory whose every access is checked.
//
// This is a test double. It shows what kernels compute and where they read and write. It
// cannot show how fast they are, what NVRTC makes of them, or races between blocks and,
// but for two orders of the threads, inside of one.
#pragma once

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <string>
#include <tuple>
#include <utility>
#include <vector>

#define __device__
#define JOINED(a, b) a##b
#define JOIN(a, b) JOINED(a, b)
#define TEXT_OF(a) #a
#define TEXT(a) TEXT_OF(a)

namespace standin {

// fault ends the kernel: the device is lost, as after an illegal address.
[[noreturn]] void fault(const char *format, ...);

// A place in memory: n elements before it and after it may be used.
template <typename T> class Checked {
  public:
    Checked() : at(nullptr), before(0), after(0) {}
    Checked(T *at, Size before, Size after) : at(at), before(before), after(after) {}
    template <typename U> Checked(const Checked<U> &other) : at(other.at), before(other.before), after(other.after) {}

    T &operator[](Size i) const {
        if (i < -before || i >= after)
            fault("element %lld of memory with elements %lld to %lld", i, -before, after);
        return at[i];
    }
    Checked operator+(Size i) const { return Checked(at + i, before + i, after - i); }
    explicit operator bool() const { return at != nullptr; }

    T *at;
    Size before, after;
};

// resolve returns where the memory of a device's address is, and its bytes around it.
char *resolve(uint64_t address, size_t &before, size_t &after);

// Argument takes a parameter of a kernel from where cuLaunchKernel has its value.
template <typename A> struct Argument {
    static const size_t size = sizeof(A);
    static A take(const void *from) {
        A a;
        memcpy(&a, from, sizeof a);
        return a;
    }
};

template <typename T> struct Argument<Checked<T>> {
    static const size_t size = sizeof(uint64_t);
    static Checked<T> take(const void *from) {
        uint64_t address;
        memcpy(&address, from, sizeof address);
        if (address == 0) return Checked<T>();
        size_t before, after;
        char *at = resolve(address, before, after);
        if (!at) fault("a kernel is given %#llx, which is no device memory", (unsigned long long)address);
        if (address % alignof(T)) fault("%#llx is not aligned", (unsigned long long)address);
        return Checked<T>(reinterpret_cast<T *>(at), before / sizeof(T), after / sizeof(T));
    }
};

// Kernel is a kernel that was compiled for the host.
struct Kernel {
    std::string name;
    bool team;                 // its threads wait for each other
    std::vector<size_t> sizes; // of its parameters
    // start decodes the parameters and calls each with what runs one thread.
    void (*start)(void *function, const std::vector<const void *> &parameters, void (*each)(void *, void (*)(void *)));
    void *function;
};

void add(const Kernel &kernel);

template <typename... A> struct Launch {
    std::tuple<A...> arguments;
    void (*function)(A...);

    static void thread(void *self) {
        Launch *l = static_cast<Launch *>(self);
        std::apply(l->function, l->arguments);
    }
    template <size_t... I>
    static void run(void *function, const std::vector<const void *> &p, void (*each)(void *, void (*)(void *)),
                    std::index_sequence<I...>) {
        Launch l{std::tuple<A...>(Argument<A>::take(p[I])...), reinterpret_cast<void (*)(A...)>(function)};
        each(&l, &thread);
    }
    static void start(void *function, const std::vector<const void *> &p, void (*each)(void *, void (*)(void *))) {
        run(function, p, each, std::index_sequence_for<A...>());
    }
};

struct Registration {
    template <typename... A> Registration(const char *name, bool team, void (*function)(A...)) {
        add(Kernel{name, team, {Argument<A>::size...}, &Launch<A...>::start, reinterpret_cast<void *>(function)});
    }
};

struct Index {
    unsigned x, y, z;
};

// shared returns memory of the block, the same for all of its threads.
void *shared(const void *key, size_t bytes);

void barrier();

} // namespace standin

extern standin::Index threadIdx, blockIdx, blockDim, gridDim;

inline void __syncthreads() { standin::barrier(); }

template <typename T> using In = standin::Checked<const T>;
template <typename T> using Out = standin::Checked<T>;

#define HOST_KERNEL(name, team, ...)                                                                                   \
    static void name(__VA_ARGS__);                                                                                     \
    static standin::Registration JOIN(registration_, name)(TEXT(name) TEXT(Suffix), team, &name);                      \
    static void name(__VA_ARGS__)
#define KERNEL(name, ...) HOST_KERNEL(name, false, __VA_ARGS__)
#define TEAM_KERNEL(name, ...) HOST_KERNEL(name, true, __VA_ARGS__)
#define SHARED(type, name, count)                                                                                      \
    static const char JOIN(key_, name) = 0;                                                                            \
    standin::Checked<type> name(static_cast<type *>(standin::shared(&JOIN(key_, name), sizeof(type) * (count))), 0,    \
                                (count))
