package engine

// What the tests of package engine_test use: those that need the converter, which
// imports this package.
var (
	Op   = op
	Info = info
)

// LocalLayers returns how many layers in local form are run as one.
func (e *Engine[T]) LocalLayers() int { return len(e.graph.locals) }

// PackedConvs returns how many convolutions are computed from packed weights.
func (e *Engine[T]) PackedConvs() int {
	n := 0
	for _, t := range e.graph.turns {
		if t.packed != nil && t.packed.node != nil {
			n++
		}
	}
	return n
}
