package chart

import (
	"image/color"
	"math"
)

// ink is a colour on white, and the one in its place on a dark page.
type ink struct{ light, dark color.NRGBA }

func grey(light, dark uint8) ink {
	return ink{color.NRGBA{light, light, light, 255}, color.NRGBA{dark, dark, dark, 255}}
}

var (
	paper = ink{color.NRGBA{255, 255, 255, 255}, color.NRGBA{24, 26, 27, 255}}
	words = grey(26, 232)
	notes = grey(80, 176) // axes, and what is only compared with
	rules = grey(222, 60)
)

// colors are those of Okabe and Ito, "Color Universal Design" (2008), which people
// with any kind of colour vision tell apart, without yellow, which is too light for
// a line. On a dark page the dark ones are lighter.
var colors = []ink{
	{color.NRGBA{0, 114, 178, 255}, color.NRGBA{86, 180, 233, 255}},
	{color.NRGBA{213, 94, 0, 255}, color.NRGBA{240, 130, 40, 255}},
	{color.NRGBA{0, 158, 115, 255}, color.NRGBA{30, 190, 145, 255}},
	{color.NRGBA{204, 121, 167, 255}, color.NRGBA{222, 150, 190, 255}},
	{color.NRGBA{230, 159, 0, 255}, color.NRGBA{240, 190, 60, 255}},
	{color.NRGBA{86, 180, 233, 255}, color.NRGBA{60, 130, 200, 255}},
	{color.NRGBA{0, 0, 0, 255}, color.NRGBA{255, 255, 255, 255}},
}

// viridis has places of matplotlib's scale of that name (van der Walt and Smith, 2015)
// at equal distances, from dark to light. Its lightness rises evenly, so that it is read
// as an order by people with any kind of colour vision, and in print.
var viridis = []color.NRGBA{
	{68, 1, 84, 255},
	{72, 40, 120, 255},
	{62, 74, 137, 255},
	{49, 104, 142, 255},
	{38, 130, 142, 255},
	{31, 158, 137, 255},
	{53, 183, 121, 255},
	{109, 205, 89, 255},
	{180, 222, 44, 255},
	{253, 231, 37, 255},
}

// sequential is the colour at a place from 0 to 1. The lightest part of the scale would
// not be seen on white, nor the darkest on a dark page.
func sequential(at float64) ink {
	return ink{scale(0.75 * at), scale(0.35 + 0.65*at)}
}

// scale is viridis at a place from 0 to 1.
func scale(at float64) color.NRGBA {
	last := len(viridis) - 1
	place := min(max(at, 0), 1) * float64(last)
	i := min(int(place), last-1)
	return blend(viridis[i], viridis[i+1], place-float64(i))
}

// blend is the colour at a share of the way from a to b.
func blend(a, b color.NRGBA, share float64) color.NRGBA {
	between := func(a, b uint8) uint8 { return uint8(math.Round(float64(a) + share*(float64(b)-float64(a)))) }
	return color.NRGBA{between(a.R, b.R), between(a.G, b.G), between(a.B, b.B), 255}
}
