package main

import (
	"os"
	"runtime"
	"runtime/debug"
)

// While a model is read and trained, nearly all of the heap are weights, which
// hold no pointers to follow: collecting garbage often costs next to nothing, and
// Go's default would take their memory twice. GOGC has the last word.
const (
	readingPercent = 5       // growth between collections, of what is alive
	trainingBytes  = 2 << 20 // the same once all is there
)

// collectOften collects garbage often from now on, and returns what ends that.
func collectOften() (end func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	before := debug.SetGCPercent(readingPercent)
	return func() { debug.SetGCPercent(before) }
}

// collectNow gives back all memory that is not in use, before the next weights
// are read, or before a training that needs little beside what it has.
func collectNow() {
	debug.FreeOSMemory()
	if os.Getenv("GOGC") != "" {
		return
	}
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	debug.SetGCPercent(int(max(1, min(readingPercent, 100*trainingBytes/stats.HeapAlloc))))
}
