package main

import "github.com/spf13/cobra"

func commands(e *env) []*cobra.Command {
	return []*cobra.Command{newInspect(e), newConvert(e), newVerify(e), newRun(e), newCheck(e)}
}
