package verify

import (
	"bytes"
	"hash/crc32"
)

// stream is the reader of one direction.
type stream struct {
	pos    uint64  // all before it has been sent, deleted or given up
	out    uint64  // bytes sent
	w      *window // what was received from pos on; nil when that is nothing
	sumIn  uint32  // CRC-32C of what was received
	sumOut uint32  // of what went out, inserted lines taken out and deleted ones put back
	into   int     // how much has been sent of what is inserted at pos

	// hole: bytes were given up, so nothing more may be sent to the same destination.
	hole bool
	// altered: a finding was made; the sums say nothing any more.
	altered  bool
	findings uint8
}

// window holds the received bytes of a stream that have not been sent, and the edits that lie among them.
type window struct {
	bytes    []byte
	off      int // bytes[off] stands at the stream's pos
	edits    []edit
	nextEdit int
	text     []byte // what edits insert
	head     head
}

// edit deletes bytes, or inserts text[lo:hi] before the byte at `at`.
type edit struct {
	at      uint64
	removes uint64
	lo, hi  int
}

// head is the head whose edits are being announced.
type head struct {
	insert uint64
	ok     bool // it is one
	last   uint64
}

// received appends b to the window.
func (t *stream) received(c *Checker, b []byte) {
	t.sumIn = crc32.Update(t.sumIn, castagnoli, b)
	if t.w == nil {
		t.w = c.getWindow()
	}
	t.w.append(b)
}

// left returns how many received bytes are left.
func (t *stream) left() int {
	if t.w == nil {
		return 0
	}
	return len(t.w.bytes) - t.w.off
}

// end returns the offset behind the last byte received.
func (t *stream) end() uint64 { return t.pos + uint64(t.left()) }

// view returns the received bytes from offset lo to hi; ok is false when they are not all there any more, or not yet.
func (t *stream) view(lo, hi uint64) (b []byte, ok bool) {
	if t.w == nil || lo < t.pos || hi < lo || hi > t.end() {
		return nil, false
	}
	return t.w.bytes[t.w.off+int(lo-t.pos) : t.w.off+int(hi-t.pos)], true
}

// Head announces edits of a head of direction d: it begins at lo, and lines are inserted at insert, before its empty line. Delete and
// Insert follow, in the order of the stream.
func (s *Session) Head(d int, lo, insert uint64) {
	t := &s.streams[d]
	if t.w == nil {
		t.w = s.c.getWindow()
	}
	h := &t.w.head
	*h = head{insert: insert, last: lo}
	text, ok := t.view(lo, insert+uint64(len(crlf)))
	if n := len(text) - len(crlf); ok && n > 0 && !t.edited(lo) {
		h.ok = bytes.HasSuffix(text, emptyLine) && isHead(d, text[:n])
	}
	if !h.ok {
		s.found(d, Edit, lo, 0)
	}
}

// edited reports whether an edit has been announced behind offset lo.
func (t *stream) edited(lo uint64) bool {
	n := len(t.w.edits)
	return n > t.w.nextEdit && t.w.edits[n-1].at+t.w.edits[n-1].removes > lo
}

// Delete announces that the line from lo to hi of the head will not be sent.
func (s *Session) Delete(d int, lo, hi uint64) {
	t := &s.streams[d]
	h := &t.w.head
	if lo < t.pos || hi <= lo || hi > t.end() || lo < h.last {
		s.found(d, Edit, lo, 0) // and what is sent will differ
		return
	}
	h.last = hi
	line, _ := t.view(lo, hi)
	before, ok := t.view(lo-min(lo, uint64(len(crlf))), lo)
	if !h.ok || !ok || hi > h.insert || !bytes.Equal(before, crlf) || !s.rules(d).removes(line) {
		s.c.Counts[d].Altered += hi - lo
		s.found(d, Edit, lo, hi-lo)
		s.reaches(d, hi)
	}
	t.w.edits = append(t.w.edits, edit{at: lo, removes: hi - lo})
}

// Insert announces that text will be sent before the head's empty line. It is copied.
func (s *Session) Insert(d int, text []byte) {
	t := &s.streams[d]
	w := t.w
	if !w.head.ok || !s.rules(d).inserts(text) {
		s.c.Counts[d].Altered += uint64(len(text))
		s.found(d, Edit, w.head.insert, uint64(len(text)))
	}
	if len(text) == 0 || w.head.insert < t.pos || w.head.insert < w.head.last {
		return // and what is sent will differ
	}
	lo := len(w.text)
	w.text = append(w.text, text...)
	w.edits = append(w.edits, edit{at: w.head.insert, lo: lo, hi: len(w.text)})
}

// rules returns what is allowed in direction d.
func (s *Session) rules(d int) *allowed { return s.c.rules.of(d, s.outbound) }

// step compares the begin of b, which was sent in direction d, with what is due, and returns how much of it that was.
func (s *Session) step(d int, b []byte) int {
	t, counts := &s.streams[d], &s.c.Counts[d]
	t.delete(counts)
	if text := t.inserting(); text != nil {
		n := min(len(b), len(text))
		if !bytes.Equal(b[:n], text[:n]) {
			first, _, differ := difference(b[:n], text[:n])
			counts.Altered += differ
			t.out += first
			s.found(d, Inserted, t.pos, differ)
			t.out -= first
		}
		t.inserted(n)
		t.out += uint64(n)
		return n
	}
	due := t.due()
	if len(due) == 0 {
		counts.Altered += uint64(len(b))
		s.found(d, Surplus, t.pos, uint64(len(b)))
		t.out += uint64(len(b))
		return len(b)
	}
	n := min(len(b), len(due))
	good := uint64(n)
	if !bytes.Equal(b[:n], due[:n]) {
		first, last, differ := difference(b[:n], due[:n])
		counts.Altered += differ
		good -= differ
		t.out += first
		s.found(d, Differs, t.pos+first, differ)
		s.reaches(d, t.pos+last+1)
		t.out -= first
	}
	counts.Verified += good
	t.sumOut = crc32.Update(t.sumOut, castagnoli, b[:n])
	t.out += uint64(n)
	t.advance(n)
	return n
}

// pass takes up to n bytes that are due in direction d as given up, and returns how many; 0 when none is due.
func (s *Session) pass(d, n int) int {
	t, counts := &s.streams[d], &s.c.Counts[d]
	t.delete(counts)
	if text := t.inserting(); text != nil {
		n = min(n, len(text))
		t.inserted(n)
		return n
	}
	due := t.due()
	n = min(n, len(due))
	counts.Undelivered += uint64(n)
	t.sumOut = crc32.Update(t.sumOut, castagnoli, due[:n])
	t.advance(n)
	return n
}

// settle takes deletions that are due, and lets the window go when nothing is left in it.
func (s *Session) settle(d int) {
	t := &s.streams[d]
	t.delete(&s.c.Counts[d])
	if t.w != nil && t.left() == 0 && t.w.edit() == nil {
		s.release(d)
	}
}

// delete takes the deletions that begin at pos.
func (t *stream) delete(counts *Counts) {
	if t.w == nil {
		return
	}
	for e := t.w.edit(); e != nil && e.removes > 0 && e.at == t.pos; e = t.w.edit() {
		n := int(e.removes)
		t.sumOut = crc32.Update(t.sumOut, castagnoli, t.w.bytes[t.w.off:t.w.off+n])
		counts.Verified += e.removes
		t.advance(n)
		t.w.editDone()
	}
}

// inserting returns what is still to be sent of the text inserted at pos; nil when there is none.
func (t *stream) inserting() []byte {
	if t.w == nil {
		return nil
	}
	if e := t.w.edit(); e != nil && e.removes == 0 && e.at == t.pos {
		return t.w.text[e.lo+t.into : e.hi]
	}
	return nil
}

// inserted notes that the next n bytes of the inserted text are done with.
func (t *stream) inserted(n int) {
	e := t.w.edit()
	if t.into += n; t.into == e.hi-e.lo {
		t.into = 0
		t.w.editDone()
	}
}

// due returns the received bytes from pos to the next edit.
func (t *stream) due() []byte {
	if t.w == nil {
		return nil
	}
	due := t.w.bytes[t.w.off:]
	if e := t.w.edit(); e != nil {
		due = due[:min(uint64(len(due)), e.at-t.pos)]
	}
	return due
}

// advance moves pos.
func (t *stream) advance(n int) {
	t.pos += uint64(n)
	t.w.off += n
}

// edit returns the next edit; nil when there is none.
func (w *window) edit() *edit {
	if w.nextEdit == len(w.edits) {
		return nil
	}
	return &w.edits[w.nextEdit]
}

// editDone goes on to the next edit.
func (w *window) editDone() {
	if w.nextEdit++; w.nextEdit == len(w.edits) {
		w.edits, w.nextEdit, w.text = w.edits[:0], 0, w.text[:0]
	}
}

// append adds what was received. Rather than growing it moves what is left to the front, where that is the smaller part.
func (w *window) append(b []byte) {
	if w.off > len(w.bytes)/2 && len(w.bytes)+len(b) > cap(w.bytes) {
		w.bytes = w.bytes[:copy(w.bytes, w.bytes[w.off:])]
		w.off = 0
	}
	w.bytes = append(w.bytes, b...)
}

// difference returns where a and b, of one length and not the same, differ first and last, and at how many places.
func difference(a, b []byte) (first, last, n uint64) {
	first = uint64(len(a))
	for i := range a {
		if a[i] != b[i] {
			first, last = min(first, uint64(i)), uint64(i)
			n++
		}
	}
	return first, last, n
}

// getWindow returns an empty window.
func (c *Checker) getWindow() *window {
	n := len(c.windows)
	if n == 0 {
		return new(window)
	}
	w := c.windows[n-1]
	c.windows = c.windows[:n-1]
	return w
}

// putWindow takes a window back.
func (c *Checker) putWindow(w *window) {
	if cap(w.bytes) > freeWindowMax || len(c.windows) == freeWindows {
		return
	}
	*w = window{bytes: w.bytes[:0], edits: w.edits[:0], text: w.text[:0]}
	c.windows = append(c.windows, w)
}
