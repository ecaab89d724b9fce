// Command asm writes the assembly of package kernel in which little but the registers
// changes from line to line: csr_amd64.s, functions_amd64.s, local_amd64.s, nhwc_amd64.s,
// packed_thin_amd64.s, packed_tile_amd64.s and panels_amd64.s. Run it with go generate,
// which gives it one of these names.
//
// Registers are named, not allocated, so that a change here is the change that
// the processor sees. Operands are in Go's order: the last is the destination.
package main

import (
	"bytes"
	"flag"
	"log"
	"os"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build" // as assembly reads
	"github.com/mmcloughlin/avo/gotypes"
	"github.com/mmcloughlin/avo/ir"
	. "github.com/mmcloughlin/avo/operand" // as assembly reads
	. "github.com/mmcloughlin/avo/reg"     // as assembly reads

	_ "efcn/internal/kernel" // whose declarations Implement looks up
)

// precision holds the instructions for one type of elements.
type precision struct {
	prefix string // of functions
	size   int    // bytes of an element
	shift  int    // its logarithm

	broadcast, add, addBroadcast, mul, fma, fmaBroadcast, moveScalar, fmaScalar, moveMasked func(...Op)
}

var precisions = []precision{
	{
		"s", 4, 2,
		VBROADCASTSS, VADDPS, VADDPS_BCST, VMULPS, VFMADD231PS, VFMADD231PS_BCST, VMOVSS, VFMADD231SS, VMOVUPS,
	},
	{
		"d", 8, 3,
		VBROADCASTSD, VADDPD, VADDPD_BCST, VMULPD, VFMADD231PD, VFMADD231PD_BCST, VMOVSD, VFMADD231SD, VMOVUPD,
	},
}

func main() {
	log.SetFlags(0)
	flag.Parse()
	name := flag.Arg(0)
	write, ok := map[string]func(){
		"csr": csr, "functions": functions, "local": local, "nhwc": nhwc, "packed_thin": thin, "packed_tile": tile,
		"panels": panels,
	}[name]
	if !ok {
		log.Fatal("usage: asm csr|functions|local|nhwc|packed_thin|packed_tile|panels")
	}
	os.Setenv("GOARCH", "amd64") // whatever this runs on
	Package("efcn/internal/kernel")
	ConstraintExpr("amd64")
	write()

	file := "../" + name + "_amd64.s"
	flag.Set("out", file)
	Generate()
	if err := include(file, "go_asm.h"); err != nil {
		log.Fatal(err)
	}
}

// include adds a header to a file that Generate wrote, which cannot: one that has
// the places of the fields of structs, for one.
func include(file, header string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	const first = "#include \"textflag.h\"\n"
	text = bytes.Replace(text, []byte(first), []byte(first+"#include \""+header+"\"\n"), 1)
	return os.WriteFile(file, text, 0o644)
}

// implement begins a function that Go declares.
func implement(name string) {
	Implement(name)
	Attributes(attr.NOSPLIT)
}

// address is where a parameter lies.
func address(c gotypes.Component) Mem {
	b, err := c.Resolve()
	if err != nil {
		log.Fatal(err)
	}
	return b.Addr
}

// at is offset(base)(index*scale).
func at(offset int, base, index Register, scale int) Mem {
	return Mem{Disp: offset, Base: base, Index: index, Scale: uint8(scale)}
}

// loop begins a loop that runs often.
func loop(label string) {
	Instruction(&ir.Instruction{Opcode: "PCALIGN", Operands: []Op{Imm(32)}})
	Label(label)
}

var vectors = []VecPhysical{
	Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z8, Z9, Z10, Z11, Z12, Z13, Z14, Z15,
	Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z23, Z24, Z25, Z26, Z27, Z28, Z29, Z30, Z31,
}

func x(i int) Register { return vectors[i].AsX() }
func y(i int) Register { return vectors[i].AsY() }
func z(i int) Register { return vectors[i] }

// zs are n registers from z(i) on.
func zs(i, n int) []Register {
	var all []Register
	for k := range n {
		all = append(all, z(i+k))
	}
	return all
}

// ys are n registers from y(i) on.
func ys(i, n int) []Register {
	var all []Register
	for k := range n {
		all = append(all, y(i+k))
	}
	return all
}

func zero(registers ...Register) {
	for _, r := range registers {
		if r.Size() == 64 {
			VPXORD(r, r, r) // VXORPS would take AVX512DQ
		} else {
			VXORPS(r, r, r)
		}
	}
}

// load and store move neighbours, the first of them at m.
func load(m Mem, registers ...Register) {
	for i, r := range registers {
		VMOVUPS(m.Offset(i*int(r.Size())), r)
	}
}

func store(m Mem, registers ...Register) {
	for i, r := range registers {
		VMOVUPS(r, m.Offset(i*int(r.Size())))
	}
}
