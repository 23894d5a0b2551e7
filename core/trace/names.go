package trace

import (
	"bytes"
	"hash/maphash"
	"unicode/utf8"

	"github.com/spanwire/spanwire/core/span"
)

// maxFoldBytes bounds how much of a path is looked at for its name: far more than a name can show, and little enough that the
// time it takes is bounded by a constant.
const maxFoldBytes = 1024

// nameSlots is the size of a loop's cache of names, a power of two. A service has some hundred live paths; more than the cache
// holds cost the folding again.
const nameSlots = 1024

// nameSlot maps a name before folding to the name. Its slices are reused.
type nameSlot struct {
	hash uint64
	raw  []byte
	name []byte
	id   uint32 // of name

	// What decides on samples of this operation, once that was asked for, and the answer of a remote sampler that it follows from.
	sampler  Sampler
	strategy *Strategy
}

// nameCache belongs to a loop. It is allocated with the first name, so that a sidecar at rest does without.
type nameCache struct{ slots []nameSlot }

// describe fills the texts of a sampled span, those that matter most first, since all share the record's space.
func (t *Tracer) describe(rec *span.Record, r *Request, id []byte) {
	h := r.Head
	host := stripUserInfo(h.Authority.In(r.Data))
	method := h.Method.In(r.Data)
	path := h.Path.In(r.Data)
	rec.SetText(span.Name, t.name(r, method, host, path))
	rec.SetTextString(span.Protocol, r.Protocol)
	rec.SetText(span.Method, method)
	rec.SetText(span.Host, host)
	rec.SetText(span.RequestID, id)
	rec.SetText(span.Path, t.pathText(path))
	if t.seen.has(headDebugID) {
		rec.AddTag("jaeger-debug-id", t.value(headDebugID, r))
	}
	if r.Kind == span.Server {
		t.addTags(rec, r)
	}
	if h.Query.Len() > 0 {
		t.scratch = t.s.redact.append(t.scratch[:0], h.Query.In(r.Data), span.MaxBytes(span.Query))
		rec.SetText(span.Query, t.scratch)
	}
	if t.seen.has(headUserAgent) {
		rec.SetText(span.UserAgent, t.value(headUserAgent, r))
	}
}

// pathText returns the path as the span shows it: without the values of path parameters that look like secrets
// (";jsessionid="), valid until the scratch space is used again.
func (t *Tracer) pathText(path []byte) []byte {
	i := bytes.IndexByte(path[:min(len(path), span.MaxBytes(span.Path))], ';')
	if i < 0 {
		return path
	}
	t.scratch = append(t.scratch[:0], path[:i+1]...)
	for rest := path[i+1:]; len(rest) > 0 && len(t.scratch) < span.MaxBytes(span.Path); {
		// A parameter ends with its segment (RFC 3986 §3.3).
		end := bytes.IndexByte(rest, '/')
		if end < 0 {
			end = len(rest)
		}
		params := rest[:end]
		if len(t.scratch) > 0 && t.scratch[len(t.scratch)-1] == '/' {
			cut := bytes.IndexByte(params, ';')
			if cut < 0 {
				cut = len(params)
			}
			t.scratch = append(t.scratch, params[:min(cut, maxFoldBytes)]...)
			params = params[cut:]
		}
		t.scratch = t.s.redact.append(t.scratch, params, span.MaxBytes(span.Path))
		if end < len(rest) {
			t.scratch = append(t.scratch, '/')
			end++
		}
		rest = rest[end:]
	}
	return t.scratch
}

// nameOf returns the operation's name of a request whose texts nobody needs, valid until the next call.
func (t *Tracer) nameOf(r *Request) []byte {
	return t.name(r, r.Head.Method.In(r.Data), stripUserInfo(r.Head.Authority.In(r.Data)), r.Head.Path.In(r.Data))
}

// name returns the operation's name, valid until the next call.
func (t *Tracer) name(r *Request, method, host, path []byte) []byte {
	slot := t.operation(r, method, host, path)
	if slot.id == otherID {
		t.Stats.OtherOperations++
	}
	t.nameID = slot.id
	return slot.name
}

// operation returns the operation's place in the cache, valid until the next call.
func (t *Tracer) operation(r *Request, method, host, path []byte) *nameSlot {
	raw := t.scratch[:0]
	if op := r.Head.Operation; op.Len() > 0 {
		return t.cached(append(raw, op.In(r.Data)[:min(op.Len(), maxFoldBytes)]...), -1)
	}
	whole := len(path) <= maxFoldBytes
	path = path[:min(len(path), maxFoldBytes)]
	switch {
	case !t.s.netra:
		raw = appendMethod(raw, method)
		if len(path) == 0 && string(method) == "CONNECT" {
			return t.cached(raw, -1) // RFC 9112 §3.2.3: the target is an authority, there is no path
		}
		if len(method) > 0 {
			raw = append(raw, ' ')
		}
	case r.Kind == span.Client:
		raw = append(raw, host[:min(len(host), span.MaxBytes(span.Host))]...)
	}
	at := len(raw)
	if len(path) == 0 {
		return t.cached(append(raw, '/'), -1)
	}
	if t.s.templates != nil && whole && r.Kind == span.Server {
		return t.describedOperation(append(raw, path...), at)
	}
	return t.cached(append(raw, path...), at)
}

// describedOperation is cached for a request to the application that has a description of its own: when the description has no
// template for the path, the path is folded as any other.
func (t *Tracer) describedOperation(raw []byte, at int) *nameSlot {
	slot, found := t.slot(append(raw, describedMark))
	if found {
		return slot
	}
	if template := t.s.templates.find(raw[at:]); template != "" {
		slot.name = append(append(slot.name[:0], raw[:at]...), template...)
	} else {
		slot.name = t.s.appendFolded(append(slot.name[:0], raw[:at]...), raw[at:])
	}
	t.s.settle(slot)
	return slot
}

// describedMark ends the keys of inbound names where there is a description: outbound requests may have the same path, and another
// application's description. No path has such a byte.
const describedMark = 0

// appendMethod appends the method if it looks like one, else HTTP, as OTel names spans of unknown methods: the rest is anybody's
// text.
func appendMethod(dst, method []byte) []byte {
	if len(method) == 0 {
		return dst
	}
	for _, c := range method {
		if (c < 'A' || c > 'Z') && c != '-' || len(method) > 16 {
			return append(dst, "HTTP"...)
		}
	}
	return append(dst, method...)
}

// cached returns the place of the name for raw, whose path begins at offset at (−1: nothing in it is to be folded). raw stands in t.scratch's
// space; the result is valid until the next call.
func (t *Tracer) cached(raw []byte, at int) *nameSlot {
	slot, found := t.slot(raw)
	if found {
		return slot
	}
	if at < 0 {
		slot.name = append(slot.name[:0], raw...)
	} else {
		slot.name = t.s.appendFolded(append(slot.name[:0], raw[:at]...), raw[at:])
	}
	t.s.settle(slot)
	return slot
}

// slot returns the place of a key in the cache; found is false when its name is still to be made.
func (t *Tracer) slot(key []byte) (slot *nameSlot, found bool) {
	t.scratch = key
	if t.names.slots == nil {
		t.names.slots = make([]nameSlot, nameSlots)
	}
	hash := maphash.Bytes(t.seed, key)
	slot = &t.names.slots[hash&(nameSlots-1)]
	if slot.hash == hash && bytes.Equal(slot.raw, key) {
		return slot, true
	}
	slot.hash, slot.raw, slot.sampler = hash, append(slot.raw[:0], key...), nil
	return slot, false
}

// settle cuts a new name to its length, and takes it among the names if there is room.
func (s *Shared) settle(slot *nameSlot) {
	slot.name = cutName(slot.name)
	if slot.id = s.operations.admit(slot.name); slot.id == otherID {
		slot.name = append(slot.name[:0], otherName...)
	}
}

// cutName cuts a name to what a record holds, on a UTF-8 boundary, before it is counted among the names.
func cutName(name []byte) []byte {
	n := span.MaxBytes(span.Name)
	if len(name) <= n {
		return name
	}
	for i := 0; i < utf8.UTFMax-1 && !utf8.RuneStart(name[n]); i++ {
		n--
	}
	return name[:n]
}
