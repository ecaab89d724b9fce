package record

// Layout is a form that a linear layer can have in an eFCN.
type Layout string

// The layouts. Auto is dense or local, by convert.Options.For and the budget.
const (
	Auto     Layout = "auto"
	Dense    Layout = "dense"    // Gemm with a matrix
	Sparse   Layout = "sparse"   // Gemm with a sparse constant
	Local    Layout = "local"    // Gather and a batched product: the support only
	Factored Layout = "factored" // the local form, and U·(V·x) added to it
	Keep     Layout = "keep"     // the CNN's own operator
)

// Layouts lists the layouts in the order of their documentation.
func Layouts() []Layout { return []Layout{Auto, Dense, Sparse, Local, Factored, Keep} }

// LocalForm reports whether the weights of a layer have the local form, alone or with
// factors beside them.
func (l Layout) LocalForm() bool { return l == Local || l == Factored }
