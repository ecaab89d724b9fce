package kernel

// nhwcCall is what the code of a tile works on. Sizes that count bytes say so; rows and
// taps are at least 1, depth at least 4.
type nhwcCall struct {
	x       *float32 // what offsets count from
	offsets *int     // taps×rows of a tile, in bytes
	weights *float32 // taps×channels×lanes·vectors
	bias    *float32 // of all columns of a tile
	y       *float32
	add     *float32 // nil, or laid out as y
	taps    int
	depth   int // bytes of the channels of a tap
	ldy     int // bytes from a row of y to the next
	rows    int // of the tile that y has; of the others the offsets have to be valid
	vectors int // 1 or 2
	mask    uint32
	lo, hi  float32
}

// depthwiseCall is what the code of a depthwise convolution works on.
type depthwiseCall struct {
	x         *float32
	table     *[2]int  // by tap: bytes from x for the first position, and from weights
	weights   *float32 // taps×channels, rounded up to 16
	bias      *float32 // channels, rounded up to 16
	y         *float32
	taps      int
	step      int // bytes from what a position reads to what the next one reads
	ldy       int // bytes from a position of y to the next
	positions int
	channels  int    // bytes
	mask      uint32 // of the channels after the last full 16
	lo, hi    float32
}
