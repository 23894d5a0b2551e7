package admin

import (
	"strconv"
)

// encoder appends metrics in Prometheus' text format, version 0.0.4.
type encoder struct {
	b []byte
	// name is the family that samples belong to.
	name string
}

// family begins a family of samples. help has no line feed and no backslash.
func (e *encoder) family(name, kind, help string) {
	e.name = name
	e.b = append(append(append(append(e.b, "# HELP "...), name...), ' '), help...)
	e.b = append(append(append(append(e.b, "\n# TYPE "...), name...), ' '), kind...)
	e.b = append(e.b, '\n')
}

// uint appends a sample with a whole value; labels are names and values in turn.
func (e *encoder) uint(v uint64, labels ...string) {
	e.series("", labels)
	e.b = append(strconv.AppendUint(append(e.b, ' '), v, 10), '\n')
}

// int is uint for a value that may be negative.
func (e *encoder) int(v int64, labels ...string) {
	e.series("", labels)
	e.b = append(strconv.AppendInt(append(e.b, ' '), v, 10), '\n')
}

// float is uint for any number.
func (e *encoder) float(v float64, labels ...string) {
	e.series("", labels)
	e.b = append(strconv.AppendFloat(append(e.b, ' '), v, 'g', -1, 64), '\n')
}

// series appends the name, with a suffix, and the labels.
func (e *encoder) series(suffix string, labels []string) {
	e.b = append(append(e.b, e.name...), suffix...)
	for i := 0; i+1 < len(labels); i += 2 {
		if i == 0 {
			e.b = append(e.b, '{')
		} else {
			e.b = append(e.b, ',')
		}
		e.b = append(append(e.b, labels[i]...), '=', '"')
		e.b = append(appendEscaped(e.b, labels[i+1]), '"')
	}
	if len(labels) > 1 {
		e.b = append(e.b, '}')
	}
}

// histogram appends the buckets, the sum and the count. counts are by bucket, one more than bounds, which are in seconds.
func (e *encoder) histogram(bounds []float64, counts []uint64, sum float64, labels ...string) {
	total := uint64(0)
	for i, n := range counts {
		total += n
		e.series("_bucket", labels)
		if e.b[len(e.b)-1] == '}' {
			e.b[len(e.b)-1] = ','
		} else {
			e.b = append(e.b, '{')
		}
		e.b = append(e.b, `le="`...)
		if i < len(bounds) {
			e.b = strconv.AppendFloat(e.b, bounds[i], 'g', -1, 64)
		} else {
			e.b = append(e.b, "+Inf"...)
		}
		e.b = append(e.b, `"} `...)
		e.b = append(strconv.AppendUint(e.b, total, 10), '\n')
	}
	e.series("_sum", labels)
	e.b = append(strconv.AppendFloat(append(e.b, ' '), sum, 'g', -1, 64), '\n')
	e.series("_count", labels)
	e.b = append(strconv.AppendUint(append(e.b, ' '), total, 10), '\n')
}

// appendEscaped appends a label's value.
func appendEscaped(dst []byte, s string) []byte {
	for i := range len(s) {
		switch c := s[i]; c {
		case '\\':
			dst = append(dst, `\\`...)
		case '"':
			dst = append(dst, `\"`...)
		case '\n':
			dst = append(dst, `\n`...)
		default:
			dst = append(dst, c)
		}
	}
	return dst
}
