package finetune

// walk lists the offsets of a row-major walk over shape with the given strides.
func walk(shape, strides []int) []int32 {
	offsets := []int32{0}
	for a, d := range shape {
		next := make([]int32, 0, len(offsets)*d)
		for _, o := range offsets {
			for i := range d {
				next = append(next, o+int32(i*strides[a]))
			}
		}
		offsets = next
	}
	return offsets
}
