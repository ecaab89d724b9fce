package convert_test

import "efcn/convert/internal/testnet"

// The tools of these tests, which those of the packages below share.
var (
	small        = testnet.Small
	node         = testnet.Node
	list         = testnet.List
	floats       = testnet.Floats
	ops          = testnet.Ops
	randomInput  = testnet.RandomInput
	layouts      = testnet.Layouts
	readFolded   = testnet.ReadFolded
	written      = testnet.Written
	checkSize    = testnet.CheckSize
	sizeDiffers  = testnet.SizeDiffers
	measuredFrom = testnet.MeasuredFrom
	run          = testnet.Run
	checkSame    = testnet.CheckSame
	sameFace     = testnet.SameFace
)
