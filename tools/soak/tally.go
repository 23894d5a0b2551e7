package main

import (
	"fmt"
	"sync"
)

// side is the listener that a request came through.
type side uint8

// The sides, in the order of arrays by side.
const (
	inbound side = iota
	outbound
	sides
)

func (s side) String() string { return [...]string{"inbound", "outbound"}[s] }

// classes are the values of the label status_class; the first means that no status came.
var classes = [...]string{"none", "1xx", "2xx", "3xx", "4xx", "5xx"}

// tally counts what the clients did and saw: what the sidecar's own counters are held against. Any goroutine may call its methods.
type tally struct {
	mu sync.Mutex
	// visible requests are those that a reader of HTTP/1 can see, by side and status class: each must become one span.
	visible [sides][len(classes)]uint64
	kinds   map[string]*kindCount
	// unexpected holds the first failures, for the report.
	unexpected []string
	failures   uint64
	altered    uint64
}

// kindCount is what became of one kind of traffic.
type kindCount struct {
	Requests   uint64 `json:"requests"`
	Unexpected uint64 `json:"unexpected"`
	Skipped    uint64 `json:"skipped"` // not sent, since those before were late
	Bytes      uint64 `json:"bytes"`   // of bodies compared
}

// maxShown bounds the failures that are kept as text.
const maxShown = 20

func newTally() *tally { return &tally{kinds: map[string]*kindCount{}} }

// kind returns the counts of a kind; the caller holds the lock.
func (t *tally) kind(name string) *kindCount {
	k := t.kinds[name]
	if k == nil {
		k = &kindCount{}
		t.kinds[name] = k
	}
	return k
}

// visibleRequest counts a request that must become a span; status 0: no answer came.
func (t *tally) visibleRequest(s side, status int) {
	class := status / 100
	if class >= len(classes) {
		class = 0
	}
	t.mu.Lock()
	t.visible[s][class]++
	t.mu.Unlock()
}

// done counts requests of a kind, and the bytes of bodies that were compared.
func (t *tally) done(kind string, requests, bytes int) {
	t.mu.Lock()
	k := t.kind(kind)
	k.Requests += uint64(requests)
	k.Bytes += uint64(bytes)
	t.mu.Unlock()
}

// skipped counts requests whose time passed before they could be sent.
func (t *tally) skipped(kind string, n int) {
	t.mu.Lock()
	t.kind(kind).Skipped += uint64(n)
	t.mu.Unlock()
}

// failed counts what should not have happened.
func (t *tally) failed(kind string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kind(kind).Unexpected++
	t.failures++
	if len(t.unexpected) < maxShown {
		t.unexpected = append(t.unexpected, fmt.Sprintf("%s: %v", kind, err))
	}
}

// differs counts bytes that arrived otherwise than they were sent.
func (t *tally) differs(kind string, got, want int) {
	t.mu.Lock()
	t.altered++
	t.mu.Unlock()
	t.failed(kind, fmt.Errorf("%d bytes came that differ from the %d that were sent", got, want))
}

// counts is a copy of a tally at a moment.
type counts struct {
	visible    [sides][len(classes)]uint64
	kinds      map[string]kindCount
	requests   uint64
	unexpected []string
	failures   uint64
	altered    uint64
}

func (t *tally) counts() counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := counts{visible: t.visible, kinds: map[string]kindCount{}, unexpected: append([]string(nil), t.unexpected...), failures: t.failures, altered: t.altered}
	for name, k := range t.kinds {
		c.kinds[name] = *k
		c.requests += k.Requests
	}
	return c
}

// spans returns how many spans the visible requests must have become.
func (c *counts) spans() (n uint64) {
	for _, side := range c.visible {
		for _, requests := range side {
			n += requests
		}
	}
	return n
}
