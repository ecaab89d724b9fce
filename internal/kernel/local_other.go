//go:build !amd64 && !arm64

package kernel

import "unsafe"

// localCodeHere: there is code for amd64 and arm64 only.
func localCodeHere[T Float]() *localCode[T] { return nil }

func transposeRows[T Float](_, _ int, _ []T, _ int, _ []T, _ int) int { return 0 }

func gatherLines(n int, table *int32, blocks int, src unsafe.Pointer, srcStep int, dst unsafe.Pointer, dstStep int) {
}
