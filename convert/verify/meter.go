package verify

// meter counts the work of a check for Options.Progress.
type meter struct {
	report   func(check string, done, of int) // nil where nobody asks
	check    string
	done, of int
}

// begin starts a check that does so many things, or about as many.
func (m *meter) begin(check string, of int) { m.check, m.done, m.of = check, 0, max(1, of) }

// tick notes that one is done.
func (m *meter) tick() {
	if m.report != nil {
		m.done = min(m.done+1, m.of)
		m.report(m.check, m.done, m.of)
	}
}
