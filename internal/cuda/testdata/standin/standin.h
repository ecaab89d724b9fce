// What the stand-ins for libcuda and libcublas share.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <functional>
#include <string>
#include <vector>

typedef long long Size;
#include "host.h"

#define API extern "C" __attribute__((visibility("default")))

namespace standin {

// Operation is work of a stream. It throws a Fault, after which the device is lost.
typedef std::function<void()> Operation;

struct Fault {
    std::string what;
};

// enqueue adds work to a stream, or to the graph that the stream's calls are captured
// into. It returns 0 or a CUresult.
int enqueue(void *stream, const Operation &work);

// check returns where bytes of device memory at an address are, null if they are not all
// in one allocation.
void *check(uint64_t address, size_t bytes);

// run runs a kernel to its end. Faults name it.
void run(const Kernel &kernel, const unsigned grid[3], unsigned threads, const std::vector<const void *> &parameters);

// count counts what was made and not destroyed: what the stand-in for libcublas adds.
void count(int more);

// fail reports whether the allocation that is asked for has to fail.
bool fail();

} // namespace standin
