//go:build race

package finetune

func init() { raceEnabled = true }
