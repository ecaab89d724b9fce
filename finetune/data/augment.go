package data

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// Augment says how images are changed at random each time that training takes
// them. The zero value leaves them as they are.
type Augment struct {
	// Flip mirrors half of the images from left to right.
	Flip bool `json:",omitempty"`
	// Crop pads images by so many pixels at each side, black before
	// normalisation, and cuts out the old size anywhere in that.
	Crop int `json:",omitempty"`
}

// ParseAugment reads "flip", "crop:PIXELS", or both with a comma.
func ParseAugment(text string) (Augment, error) {
	var a Augment
	refuse := fmt.Errorf("augment %q: want flip, crop:PIXELS or both with a comma", text)
	for part := range strings.SplitSeq(text, ",") {
		kind, value, given := strings.Cut(part, ":")
		n, err := strconv.Atoi(value)
		switch {
		case kind == "flip" && !given && !a.Flip:
			a.Flip = true
		case kind == "crop" && err == nil && n > 0 && a.Crop == 0:
			a.Crop = n
		default:
			return Augment{}, refuse
		}
	}
	return a, nil
}

// Augmenter changes the samples of a set at random.
type Augmenter struct {
	set        *Set
	augment    Augment
	frame      frame
	background []float32 // of each channel
}

// NewAugmenter refuses what is not possible with the samples of the set. What the
// specification of the set asks for is done beside a.
func NewAugmenter(s *Set, a Augment) (*Augmenter, error) {
	a.Flip = a.Flip || s.Augment.Flip
	g := &Augmenter{set: s, augment: a}
	if a == (Augment{}) {
		return g, nil
	}
	f, err := s.frame()
	if err != nil {
		return nil, fmt.Errorf("augment: %w", err)
	}
	if a.Crop < 0 || a.Crop > 0 && a.Crop >= min(f.height, f.width) {
		return nil, fmt.Errorf("augment: a crop of %d pixels beyond images of %d×%d; want fewer than a side has", a.Crop,
			f.height, f.width)
	}
	g.frame, g.background = f, make([]float32, f.channels)
	for c := range s.Mean {
		g.background[c] = (0 - float32(s.Mean[c])) / float32(s.Std[c])
	}
	return g, nil
}

// Sample puts sample index as an epoch has it into dst, Size() elements: what is
// drawn follows from seed, epoch and index alone. It is safe for parallel use. Only a
// sample of a streamed set fails.
func (g *Augmenter) Sample(index int, seed uint64, epoch int, dst []float32) error {
	// The order of an epoch is drawn from (seed, epoch): epochs stay below 2⁴⁰.
	stream := uint64(epoch)<<40 | uint64(index)
	size := g.set.Size()
	src := dst[:size]
	if g.augment != (Augment{}) && g.set.stored != nil {
		src = make([]float32, size)
	}
	if g.set.stored == nil {
		src = g.set.X[index*size : (index+1)*size]
	} else if err := g.set.take(index, rand.New(rand.NewPCG(^seed, stream)), src); err != nil {
		return err // the random numbers of a crop are its own: they do not depend on what else is drawn
	}
	if g.augment == (Augment{}) {
		copy(dst, src)
		return nil
	}
	rng := rand.New(rand.NewPCG(seed, stream))
	mirrored := g.augment.Flip && rng.IntN(2) == 1
	dy, dx := 0, 0
	if n := g.augment.Crop; n > 0 {
		dy, dx = rng.IntN(2*n+1)-n, rng.IntN(2*n+1)-n
	}
	g.frame.move(dst[:size], src, dy, dx, mirrored, g.background)
	return nil
}
