// Command efcn turns a trained CNN into its equivalent fully-connected network,
// proves the two equal, fine-tunes it and writes it back to ONNX.
//
// Every command is one file of this package: it parses its flags, calls a
// package and prints.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"efcn/internal/mpi"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first of them ends the work in order; a second ends the process.
	context.AfterFunc(ctx, stop)
	code := execute(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	mpi.Exit(code)
}
