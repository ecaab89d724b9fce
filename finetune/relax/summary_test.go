package relax_test

import (
	"testing"

	"efcn/finetune"
	"efcn/finetune/relax"
)

func TestSummarise(t *testing.T) {
	five, epoch := 5, func(top1 float64, failed string) *relax.Result {
		five := 5
		r := &relax.Result{Kind: relax.EFCN, RelaxEpoch: &five, Failed: failed, BestTop1: &top1}
		r.Final.Test = &finetune.Metrics{Top1: top1}
		return r
	}
	lone := &relax.Result{Kind: relax.FCN}
	lone.Final.Test = &finetune.Metrics{Top1: 0.25}
	all := relax.Summarise([]*relax.Result{epoch(0.5, ""), lone, epoch(0.75, ""), epoch(1, ""), epoch(0.1, "diverged")})
	if len(all) != 2 || all[0].Runs != 3 || all[0].Failed != 1 || *all[0].RelaxEpoch != five ||
		all[0].FinalTop1.Mean != 0.75 || *all[0].FinalTop1.SD != 0.25 || all[0].Distance != nil {
		t.Errorf("%+v", all[0])
	}
	if all[1].Runs != 1 || all[1].FinalTop1.Mean != 0.25 || all[1].FinalTop1.SD != nil || all[1].RelaxEpoch != nil {
		t.Errorf("%+v", all[1])
	}
}
