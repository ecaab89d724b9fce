//go:build !amd64

package kernel

// forwardImages and its likes: there are products of columns for amd64 only.
func forwardImages[T Float](*forward[T]) bool { return false }

func inputOfImages[T Float](_ *layer, _ int, _, _, _ []T) bool { return false }

func weightsOfImages[T Float](_ *layer, _ int, _, _, _ []T) bool { return false }

func weightsByPhases[T Float](_ *layer, _ int, _, _, _ []T) bool { return false }
