package mpi

import (
	"errors"
	"fmt"
	"strings"
	"unsafe"

	"github.com/ebitengine/purego"

	"efcn/internal/dynlib"
)

// The functions that are called. All are of MPI 3.0 or older.
const (
	mpiAbort = iota
	mpiAllocMem
	mpiCommFree
	mpiCommRank
	mpiCommSetErrhandler
	mpiCommSize
	mpiCommSplit
	mpiErrorString
	mpiFinalize
	mpiFreeMem
	mpiGetCount
	mpiGetLibraryVersion
	mpiIbarrier
	mpiInitThread
	mpiIrecv
	mpiIsend
	mpiTest
	functions
)

var functionNames = [functions]string{
	"MPI_Abort", "MPI_Alloc_mem", "MPI_Comm_free", "MPI_Comm_rank", "MPI_Comm_set_errhandler", "MPI_Comm_size",
	"MPI_Comm_split", "MPI_Error_string", "MPI_Finalize", "MPI_Free_mem", "MPI_Get_count",
	"MPI_Get_library_version", "MPI_Ibarrier", "MPI_Init_thread", "MPI_Irecv", "MPI_Isend", "MPI_Test",
}

// constants are the values that a library's mpi.h gives to handles and numbers.
// Handles are 32-bit integers in MPICH and addresses elsewhere: a cell of 64 bits
// holds either, the first in its lower half on the little-endian machines we run on.
type constants struct {
	name         string
	commWorld    uint64
	byteType     uint64 // MPI_BYTE
	errorsReturn uint64 // MPI_ERRORS_RETURN
	infoNull     uint64
	funneled     uintptr // MPI_THREAD_FUNNELED
}

var (
	// mpich is mpi.h of MPICH 3.1 and later and of Intel MPI (the MPICH ABI
	// compatibility initiative).
	mpich = constants{"MPICH's ABI", 0x44000000, 0x4c00010d, 0x54000001, 0x1c000000, 1}
	// standard is mpi_abi.h of MPI 5.0, chapter 20.
	standard = constants{"MPI-5 ABI", 0x101, 0x247, 0x143, 0x130, 1024}
)

// openMPI has the addresses of the objects that mpi.h of Open MPI points to.
func openMPI(symbol func(string) (uintptr, error)) (constants, error) {
	c := constants{name: "Open MPI's ABI", funneled: 1}
	for name, to := range map[string]*uint64{
		"ompi_mpi_comm_world": &c.commWorld, "ompi_mpi_byte": &c.byteType,
		"ompi_mpi_errors_return": &c.errorsReturn, "ompi_mpi_info_null": &c.infoNull,
	} {
		address, err := symbol(name)
		if err != nil {
			return c, fmt.Errorf("it has no %s", name)
		}
		*to = uint64(address)
	}
	return c, nil
}

// library is an MPI library that was loaded. Its methods are the calls, for the
// thread that called init only.
type library struct {
	constants
	file     string
	version  string
	function [functions]uintptr
	cExit    uintptr // exit of the C library

	// What MPI_Test and MPI_Get_count write, here so that asking makes no garbage.
	flag, count int32
	status      [8]uint64 // MPI_Status has 20, 24 or 32 bytes
}

func newLibrary(handle uintptr, file string) (*library, error) {
	symbol := func(name string) (uintptr, error) { return dynlib.Symbol(handle, name) }
	l := &library{file: file}
	for i, name := range functionNames {
		address, err := symbol(name)
		if err != nil {
			return nil, fmt.Errorf("not an MPI library: it has no %s", name)
		}
		l.function[i] = address
	}
	var err error
	if l.cExit, err = symbol("exit"); err != nil {
		return nil, err
	}
	switch {
	case isStandard(symbol):
		l.constants = standard
	case has(symbol, "ompi_mpi_comm_self"):
		if l.constants, err = openMPI(symbol); err != nil {
			return nil, err
		}
	default:
		l.constants = mpich
	}
	text := make([]byte, 8192) // MPI_MAX_LIBRARY_VERSION_STRING, where it is largest
	var length int32
	err = l.call(mpiGetLibraryVersion, uintptr(unsafe.Pointer(&text[0])), uintptr(unsafe.Pointer(&length)))
	if err != nil {
		return nil, err
	}
	l.version = firstLine(text)
	return l, nil
}

func has(symbol func(string) (uintptr, error), name string) bool {
	address, err := symbol(name)
	return err == nil && address != 0
}

// isStandard reports whether the library has the ABI of MPI 5. MPICH has the
// function that tells in both of its libraries; that of its own ABI answers -1.
func isStandard(symbol func(string) (uintptr, error)) bool {
	address, err := symbol("MPI_Abi_get_version")
	if err != nil {
		return false
	}
	var major, minor int32
	code, _, _ := purego.SyscallN(address, uintptr(unsafe.Pointer(&major)), uintptr(unsafe.Pointer(&minor)))
	return int32(code) == 0 && major > 0
}

// firstLine is the beginning of a C string: the name and the version of a library
// whose full description may be a page.
func firstLine(text []byte) string {
	line, _, _ := strings.Cut(string(text), "\x00")
	line, _, _ = strings.Cut(line, "\n")
	line, _, _ = strings.Cut(line, ", package:") // Open MPI goes on with who built it
	return strings.Join(strings.Fields(line), " ")
}

// String returns what the library calls itself, its ABI and its file.
func (l *library) String() string { return fmt.Sprintf("%s (%s, %s)", l.version, l.name, l.file) }

// call calls a function, and makes an error of what it returns.
//
//go:uintptrescapes
func (l *library) call(function int, args ...uintptr) error {
	code, _, _ := purego.SyscallN(l.function[function], args...)
	if int32(code) == 0 {
		return nil
	}
	text := make([]byte, 512) // MPI_MAX_ERROR_STRING, where it is largest
	var length int32
	again, _, _ := purego.SyscallN(l.function[mpiErrorString], uintptr(int32(code)),
		uintptr(unsafe.Pointer(&text[0])), uintptr(unsafe.Pointer(&length)))
	message := fmt.Sprintf("error %d", int32(code))
	if int32(again) == 0 {
		said, _, _ := strings.Cut(string(text), "\x00")
		message = strings.Join(strings.Fields(said), " ")
	}
	return fmt.Errorf("%s: %s", functionNames[function], message)
}

// init starts MPI.
func (l *library) init() error {
	var provided int32
	if err := l.call(mpiInitThread, 0, 0, l.funneled, uintptr(unsafe.Pointer(&provided))); err != nil {
		return err
	}
	if provided < int32(l.funneled) {
		return errors.New("MPI_Init_thread: this MPI allows no threads beside the one that calls it")
	}
	return l.call(mpiCommSetErrhandler, uintptr(l.commWorld), uintptr(l.errorsReturn))
}

func (l *library) finalize() error { return l.call(mpiFinalize) }

func (l *library) commRank(comm uint64, rank *int32) error {
	return l.call(mpiCommRank, uintptr(comm), uintptr(unsafe.Pointer(rank)))
}

func (l *library) commSize(comm uint64, size *int32) error {
	return l.call(mpiCommSize, uintptr(comm), uintptr(unsafe.Pointer(size)))
}

// commSplit: the new communicator returns errors, as comm does.
func (l *library) commSplit(comm uint64, color, key int, part *uint64) error {
	return l.call(mpiCommSplit, uintptr(comm), uintptr(color), uintptr(key), uintptr(unsafe.Pointer(part)))
}

func (l *library) commFree(comm *uint64) error {
	return l.call(mpiCommFree, uintptr(unsafe.Pointer(comm)))
}

// allocMem returns the address of memory for n bytes.
func (l *library) allocMem(n int) (address uintptr, err error) {
	err = l.call(mpiAllocMem, uintptr(n), uintptr(l.infoNull), uintptr(unsafe.Pointer(&address)))
	return address, err
}

func (l *library) freeMem(address uintptr) error { return l.call(mpiFreeMem, address) }

// messageTag is on what Send sends; collective calls have tag 0.
const messageTag = 1

func (l *library) isend(comm uint64, piece []byte, to, tag int, request *uint64) error {
	return l.call(mpiIsend, uintptr(unsafe.Pointer(unsafe.SliceData(piece))), uintptr(len(piece)), uintptr(l.byteType),
		uintptr(to), uintptr(tag), uintptr(comm), uintptr(unsafe.Pointer(request)))
}

func (l *library) irecv(comm uint64, piece []byte, from, tag int, request *uint64) error {
	return l.call(mpiIrecv, uintptr(unsafe.Pointer(unsafe.SliceData(piece))), uintptr(len(piece)), uintptr(l.byteType),
		uintptr(from), uintptr(tag), uintptr(comm), uintptr(unsafe.Pointer(request)))
}

func (l *library) ibarrier(comm uint64, request *uint64) error {
	return l.call(mpiIbarrier, uintptr(comm), uintptr(unsafe.Pointer(request)))
}

// test reports whether what request stands for is done.
func (l *library) test(request *uint64) (bool, error) {
	err := l.call(mpiTest, uintptr(unsafe.Pointer(request)), uintptr(unsafe.Pointer(&l.flag)),
		uintptr(unsafe.Pointer(&l.status)))
	return err == nil && l.flag != 0, err
}

// received returns how many bytes came in the message that test found done.
func (l *library) received() (int, error) {
	err := l.call(mpiGetCount, uintptr(unsafe.Pointer(&l.status)), uintptr(l.byteType),
		uintptr(unsafe.Pointer(&l.count)))
	return int(l.count), err
}

func (l *library) abort(code int) error { return l.call(mpiAbort, uintptr(l.commWorld), uintptr(code)) }

// exit runs C's exit handlers and ends the process.
func (l *library) exit(code int) { purego.SyscallN(l.cExit, uintptr(code)) }
