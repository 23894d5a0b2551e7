package core

import (
	"github.com/spanwire/spanwire/core/trace"
)

// builder assembles the bytes of a read that has heads to edit: everything as it came but for whole header lines left out and put
// in. It belongs to the worker and is used within one turn.
type builder struct {
	out []byte
	pos int // how far data has been taken
}

// start begins with data whose first `from` bytes have gone on already.
func (b *builder) start(from int) {
	b.out = b.out[:0]
	b.pos = from
}

// edited reports whether anything was edited since start.
func (b *builder) edited() bool { return len(b.out) > 0 }

// done forgets what was built.
func (b *builder) done() { b.out = b.out[:0] }

// takeTo copies data up to an offset that has not been passed yet.
func (b *builder) takeTo(data []byte, to int) {
	b.out = append(b.out, data[b.pos:to]...)
	b.pos = to
}

// apply copies data up to insert, without the lines that e deletes, and appends the lines that e inserts. Edits come in the order of data.
func (b *builder) apply(data []byte, insert int, e *trace.Edit) {
	if len(e.Delete) == 0 && len(e.Insert) == 0 {
		return
	}
	for _, line := range e.Delete {
		b.out = append(b.out, data[b.pos:line.Lo]...)
		b.pos = int(line.Hi)
	}
	b.out = append(b.out, data[b.pos:insert]...)
	b.out = append(b.out, e.Insert...)
	b.pos = insert
}
