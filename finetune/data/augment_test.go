package data_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"efcn/finetune/data"
)

func TestParseAugment(t *testing.T) {
	for text, want := range map[string]data.Augment{
		"flip": {Flip: true}, "crop:4": {Crop: 4}, "flip,crop:2": {Flip: true, Crop: 2}, "crop:2,flip": {Flip: true, Crop: 2},
	} {
		if got, err := data.ParseAugment(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"", "flip,", "flip,flip", "crop", "crop:0", "crop:-1", "crop:x", "crop:1,crop:2",
		"flip:1", "rotate", "flip crop:4",
	} {
		if a, err := data.ParseAugment(text); err == nil || !strings.Contains(err.Error(), "want flip, crop:PIXELS or both") {
			t.Errorf("%q: %+v, %v", text, a, err)
		}
	}
}

// TestAugmenter compares every sample with all that flips and crops can make of
// it, and counts that each is made as often as chance has it.
func TestAugmenter(t *testing.T) {
	for _, last := range []bool{false, true} {
		// Two channels of 2×3 pixels, normalised with 1/2 and 3/4.
		s := &data.Set{
			Shape: []int{2, 2, 3}, ChannelsLast: last, Mean: []float64{1, 3}, Std: []float64{2, 4},
			Labels: make([]int, 1),
		}
		if last {
			s.Shape = []int{2, 3, 2}
		}
		at := func(x []float32, c, row, column int) *float32 {
			if last {
				return &x[(row*3+column)*2+c]
			}
			return &x[(c*2+row)*3+column]
		}
		s.X = make([]float32, 12)
		for i := range 12 {
			*at(s.X, i/6, i/3%2, i%3) = float32(i + 1)
		}
		// Each possible image, by what is done: flip, down, right.
		possible := map[[3]int][]float32{}
		for flip := range 2 {
			for dy := -1; dy <= 1; dy++ {
				for dx := -1; dx <= 1; dx++ {
					x := make([]float32, 12)
					for i := range 12 {
						c, row, column := i/6, i/3%2-dy, i%3-dx
						v := []float32{-0.5, -0.75}[c]
						if row >= 0 && row < 2 && column >= 0 && column < 3 {
							if flip == 1 {
								column = 2 - column
							}
							v = *at(s.X, c, row, column)
						}
						*at(x, i/6, i/3%2, i%3) = v
					}
					possible[[3]int{flip, dy, dx}] = x
				}
			}
		}
		for _, c := range []struct {
			augment data.Augment
			kinds   int
		}{
			{data.Augment{Flip: true}, 2},
			{data.Augment{Crop: 1}, 9},
			{data.Augment{Flip: true, Crop: 1}, 18},
			{data.Augment{}, 1},
		} {
			g, err := data.NewAugmenter(s, c.augment)
			if err != nil {
				t.Fatal(err)
			}
			counts := map[[3]int]int{}
			const draws = 3600
			got, again := make([]float32, 12), make([]float32, 12)
			for epoch := range draws {
				if err := errors.Join(g.Sample(0, 7, epoch, got), g.Sample(0, 7, epoch, again)); err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(got, again) {
					t.Fatal("a sample does not repeat")
				}
				kind := [3]int{-1}
				for k, x := range possible {
					if slices.Equal(got, x) {
						kind = k
					}
				}
				if kind[0] < 0 || kind[0] == 1 && !c.augment.Flip || (kind[1] != 0 || kind[2] != 0) && c.augment.Crop == 0 {
					t.Fatalf("%+v makes %v", c.augment, got)
				}
				counts[kind]++
			}
			for k, n := range counts {
				// Six standard deviations of a binomial count.
				mean := float64(draws) / float64(c.kinds)
				if d := float64(n) - mean; d*d > 36*mean {
					t.Errorf("%+v: %v was made %d times of %d, want about %.0f", c.augment, k, n, draws, mean)
				}
			}
			if len(counts) != c.kinds {
				t.Errorf("%+v: %d kinds, want %d", c.augment, len(counts), c.kinds)
			}
		}
	}
	for _, c := range []struct {
		shape []int
		crop  int
		want  string
	}{
		{[]int{1, 4, 6}, 4, "a crop of 4 pixels beyond images of 4×6"},
		{[]int{24}, 1, "samples of shape [24] are no images of three axes"},
	} {
		if _, err := data.NewAugmenter(&data.Set{Shape: c.shape}, data.Augment{Crop: c.crop}); err == nil ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %s", c.shape, err, c.want)
		}
	}
}
