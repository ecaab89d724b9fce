//go:build linux && (amd64 || arm64)

package mpi

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// action is the kernel's struct sigaction on amd64 and arm64.
type action struct {
	handler  uintptr
	flags    uint64
	restorer uintptr
	mask     uint64
}

const (
	signalCount = 64
	onStack     = 0x08000000 // SA_ONSTACK
	// SIG_DFL and SIG_IGN are 0 and 1.
	firstHandler = 2
)

// sigaction reads what handles a signal, or sets it.
func sigaction(signal int, set, old *action) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(signal),
		uintptr(unsafe.Pointer(set)), uintptr(unsafe.Pointer(old)), unsafe.Sizeof(old.mask), 0, 0)
	if errno != 0 {
		return fmt.Errorf("rt_sigaction of signal %d: %w", signal, errno)
	}
	return nil
}

// signalHandlers are the handlers of a process before MPI was loaded, by signal.
type signalHandlers [signalCount + 1]action

func handlers() (*signalHandlers, error) {
	var all signalHandlers
	for signal := 1; signal <= signalCount; signal++ {
		if err := sigaction(signal, nil, &all[signal]); err != nil {
			return nil, err
		}
	}
	return &all, nil
}

// settle makes handlers that were installed since safe: where Go had one, it gets it
// back, and any other one runs on a stack of its own. Go's stacks are small, and a
// handler that runs on one overwrites what lies below.
func (before *signalHandlers) settle() error {
	for signal := 1; signal <= signalCount; signal++ {
		var now action
		if err := sigaction(signal, nil, &now); err != nil {
			return err
		}
		want := now
		switch {
		case before[signal].handler >= firstHandler && now.handler != before[signal].handler:
			want = before[signal]
		case now.handler >= firstHandler:
			want.flags |= onStack
		}
		if want == now {
			continue
		}
		if err := sigaction(signal, &want, nil); err != nil {
			return err
		}
	}
	return nil
}

// blockSignals keeps signals from the calling thread, and so from the threads that
// MPI starts from it, which are not Go's. Those that tell of a fault of the thread
// itself still come.
func blockSignals() error {
	set := unix.Sigset_t{}
	set.Val[0] = ^uint64(0)
	for _, signal := range []unix.Signal{
		unix.SIGILL, unix.SIGTRAP, unix.SIGABRT, unix.SIGBUS, unix.SIGFPE, unix.SIGSEGV, unix.SIGSYS,
	} {
		set.Val[0] &^= 1 << (signal - 1)
	}
	return unix.PthreadSigmask(unix.SIG_SETMASK, &set, nil)
}
