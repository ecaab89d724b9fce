// How the stand-in runs a kernel: block after block, and the threads of one in turns.
#include "standin.h"

#include <stdint.h>
#include <string.h>
#ifndef __x86_64__
#include <ucontext.h>
#endif

#include <map>
#include <memory>
#include <string>
#include <vector>

// Kernels run one at a time, under driver.cpp's lock, whichever thread of the host waits for them.
standin::Index threadIdx, blockIdx, blockDim, gridDim;

namespace standin {

void runFiber();

// Place is where calls on a stack go on. change leaves one for another, and returns when
// somebody comes back. swapcontext asks the system for the signal mask each time, which
// takes most of the time of a kernel.
#ifdef __x86_64__
typedef void *Place;

extern "C" __attribute__((visibility("hidden"))) void standinChange(Place &from, const Place &to);
asm(R"(
    .text
    .hidden standinChange
    .globl standinChange
    .type standinChange, @function
standinChange:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq (%rsi), %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size standinChange, . - standinChange
)");
void change(Place &from, const Place &to) { standinChange(from, to); }

// begin makes the place at which runFiber begins on an empty stack.
void begin(Place &at, char *stack, size_t size) {
    void **top = reinterpret_cast<void **>((uintptr_t)(stack + size) / 16 * 16);
    *--top = nullptr; // runFiber returns to nowhere
    *--top = reinterpret_cast<void *>(&runFiber);
    at = top - 6; // registers
}
#else
typedef ucontext_t Place;

void change(Place &from, const Place &to) { swapcontext(&from, &to); }

void begin(Place &at, char *stack, size_t size) {
    getcontext(&at);
    at.uc_stack.ss_sp = stack;
    at.uc_stack.ss_size = size;
    at.uc_link = nullptr;
    makecontext(&at, runFiber, 0);
}
#endif

// Fiber is a thread of a block: a stack of its own, which goes from one block to the next.
struct Fiber {
    std::unique_ptr<char[]> stack;
    Place at;
    bool begun = false;
};

// Block is the one that runs.
struct Block {
    std::map<const void *, std::unique_ptr<char[]>> shared;
    bool team;
    void *launch;
    void (*thread)(void *);
    Place scheduler;
    std::vector<Fiber> *fibers;
    std::vector<char> ended;
    int at;            // the thread that runs
    int waiting;       // threads at the barrier
    std::string fault; // of one of them
};

Block *block;

void *shared(const void *key, size_t bytes) {
    auto &room = block->shared[key];
    if (!room) {
        room.reset(new char[bytes]);
        memset(room.get(), 0xff, bytes);
    }
    return room.get();
}

// yield leaves a thread until the scheduler comes back to it, maybe for another block.
void yield() { change((*block->fibers)[block->at].at, block->scheduler); }

void barrier() {
    if (!block->team) fault("__syncthreads in a KERNEL, whose threads do not wait for each other");
    block->waiting++;
    yield();
}

void runFiber() {
    for (;;) {
        try {
            block->thread(block->launch);
        } catch (const Fault &f) {
            if (block->fault.empty()) block->fault = f.what;
        }
        block->ended[block->at] = true;
        yield();
    }
}

// resume lets a thread run to its end or to the next barrier.
void resume(Block &b, int t) {
    const size_t size = 128 << 10;
    Fiber &f = (*b.fibers)[t];
    b.at = t;
    threadIdx = {(unsigned)t, 0, 0};
    if (!f.begun) {
        f.begun = true;
        if (!f.stack) f.stack.reset(new char[size]);
        // Stacks that begin at the same place of a page would meet in a few lines of the cache.
        begin(f.at, f.stack.get(), size - t * 192);
    }
    change(b.scheduler, f.at);
}

// runTeam runs the threads of a block from barrier to barrier: in ascending order in even
// blocks, in descending order in odd ones, so that a barrier that is missing shows.
void runTeam(Block &b, int n, bool descending) {
    static std::vector<Fiber> fibers;
    if ((int)fibers.size() < n) fibers.resize(n);
    b.fibers = &fibers;
    b.ended.assign(n, false);
    for (int left = n; left > 0;) {
        b.waiting = 0;
        int running = left;
        for (int i = 0; i < n; i++) {
            int t = descending ? n - 1 - i : i;
            if (b.ended[t]) continue;
            resume(b, t);
            if (b.ended[t]) left--;
            if (!b.fault.empty()) {
                for (Fiber &f : fibers) f.begun = false; // the others are in the midst of it
                throw Fault{b.fault};
            }
        }
        if (b.waiting != 0 && b.waiting != running) {
            for (Fiber &f : fibers) f.begun = false;
            fault("%d of %d threads reach a barrier", b.waiting, running);
        }
    }
}

// Run is the launch that is done.
struct Run {
    const Kernel *kernel;
    const unsigned *grid;
    unsigned threads;
};

const Run *running;

void eachBlock(void *launch, void (*thread)(void *)) {
    const Run &s = *running;
    gridDim = {s.grid[0], s.grid[1], s.grid[2]};
    blockDim = {s.threads, 1, 1};
    unsigned number = 0;
    for (unsigned z = 0; z < s.grid[2]; z++)
        for (unsigned y = 0; y < s.grid[1]; y++)
            for (unsigned x = 0; x < s.grid[0]; x++, number++) {
                Block b;
                b.team = s.kernel->team;
                b.launch = launch;
                b.thread = thread;
                block = &b;
                blockIdx = {x, y, z};
                if (b.team) {
                    runTeam(b, s.threads, number % 2);
                    continue;
                }
                for (unsigned t = 0; t < s.threads; t++) {
                    threadIdx = {t, 0, 0};
                    thread(launch);
                }
            }
}

void run(const Kernel &kernel, const unsigned grid[3], unsigned threads, const std::vector<const void *> &parameters) {
    Run r{&kernel, grid, threads};
    running = &r;
    try {
        kernel.start(kernel.function, parameters, &eachBlock);
    } catch (const Fault &f) {
        throw Fault{kernel.name + ": " + f.what};
    }
}

} // namespace standin
