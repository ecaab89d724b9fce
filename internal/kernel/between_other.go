//go:build !amd64

package kernel

// betweenEights: there is no vector code for this processor.
func betweenEights[T Float](_, _, _ []T, _, _ T) int { return 0 }
