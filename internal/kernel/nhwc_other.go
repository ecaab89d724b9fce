//go:build !amd64

package kernel

const nhwcHere = false

func snhwc12x32(*nhwcCall) {}

func sdepthwise(*depthwiseCall) {}
