//go:build !amd64

package kernel

// nhwcHere: there is code for arrays whose last axis is the channels for amd64 only.
var nhwcHere *nhwcCode
