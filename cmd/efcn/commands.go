package main

import "github.com/spf13/cobra"

func commands(e *env) []*cobra.Command {
	return []*cobra.Command{
		newDemo(e), newInspect(e), newConvert(e), newVerify(e), newRun(e), newEval(e), newFinetune(e), newRelax(e),
		newMeasure(e), newCompress(e), newInterpolate(e), newProject(e), newExport(e), newReport(e), newCheck(e),
		newMerge(e), newVersion(e), newMan(),
	}
}
