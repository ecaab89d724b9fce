//go:build race && amd64

package kernel

func init() { raceEnabled = true }
