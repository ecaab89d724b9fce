package finetune

// Shape and Size yield integers that follow from the batch size: shape inference has
// them, and nothing is computed.
func init() {
	for _, name := range []string{"Shape", "Size"} {
		register(name, nil, nil, func(o *operator) { o.shape = true })
	}
}
