package trace

import (
	"bytes"
	"hash/maphash"
	"sync/atomic"

	"github.com/spanwire/spanwire/core/span"
)

// OtherName is the number of {other} in Active.Operation and Active.Peer.
const OtherName = otherID

// Drop says whether an inbound request looks as if the application had dropped its id.
//
// It did, as far as can be seen from outside, when its id came back on no outbound request, and meanwhile an outbound request left that
// bore neither an id nor a trace context. Such a call belongs to some request that was in flight, or to none (a timer in the application):
// the more were in flight, the less it says.
type Drop uint8

// The values of Drop.
const (
	// DropNone: nothing speaks for it.
	DropNone Drop = iota
	// DropAlone: such a call left while this was the only inbound request in flight.
	DropAlone
	// DropShared: such calls left only while others were in flight too; any of them may have made them.
	DropShared
	// NumDrops is the number of values of Drop.
	NumDrops
)

// String returns the value of the label `evidence` of spanwire_operation_ids_dropped_total.
func (d Drop) String() string { return [NumDrops]string{"none", "alone", "shared"}[d] }

// callWatch counts, for the whole process, what tells who drops ids: application and sidecar may use any loop for either side.
type callWatch struct {
	inFlight atomic.Int64  // inbound requests
	orphans  atomic.Uint64 // outbound requests with neither an id nor a context
	alone    atomic.Uint64 // those of them that left while exactly one inbound request was in flight
}

// watch is what an inbound request remembers of a callWatch.
type watch struct {
	on             bool
	orphans, alone uint64 // when it began
}

// count gives a request its numbers and begins to watch it. Its operation's name was looked up just before.
func (t *Tracer) count(a *Active, r *Request, l *link) {
	a.Operation = t.nameID
	c := &t.s.calls
	if r.Kind == span.Server {
		c.inFlight.Add(1)
		a.watch = watch{on: true, orphans: c.orphans.Load(), alone: c.alone.Load()}
		return
	}
	if l.how == span.JoinRoot && !t.seen.has(headRequestID) && t.seen.present&bitsContext == 0 {
		c.orphans.Add(1)
		if c.inFlight.Load() == 1 {
			c.alone.Add(1)
		}
	}
	if t.s.peers.max > 0 {
		a.Peer = t.peer(r)
	}
}

// judge ends the watch over an inbound request; joined: its id came back, or it had none that could.
func (t *Tracer) judge(a *Active, joined bool) {
	c := &t.s.calls
	switch {
	case joined:
	case c.alone.Load() != a.watch.alone: // in flight all the time, so it was the one
		a.Drop = DropAlone
	case c.orphans.Load() != a.watch.orphans:
		a.Drop = DropShared
	}
	c.inFlight.Add(-1)
	a.watch.on = false
}

// peerSlots is the size of a loop's cache of peers, a power of two: a service calls some dozens.
const peerSlots = 256

// peerSlot maps a host as requests name it to its number.
type peerSlot struct {
	hash uint64
	raw  []byte
	id   uint32
}

// peer returns the number of the host that an outbound request names: lower case, without port and user; without a Host the address.
func (t *Tracer) peer(r *Request) uint32 {
	raw := hostOnly(stripUserInfo(r.Head.Authority.In(r.Data)))
	if len(raw) == 0 {
		t.scratch = r.Server.AddrPort().Addr().AppendTo(t.scratch[:0])
		raw = t.scratch
	}
	raw = raw[:min(len(raw), span.MaxBytes(span.Host))]
	if t.hosts == nil {
		t.hosts = make([]peerSlot, peerSlots)
	}
	hash := maphash.Bytes(t.seed, raw)
	slot := &t.hosts[hash&(peerSlots-1)]
	if slot.hash != hash || !bytes.Equal(slot.raw, raw) {
		slot.hash, slot.raw = hash, append(slot.raw[:0], raw...)
		slot.id = t.s.peers.admit(bytes.ToLower(raw))
	}
	return slot.id
}
