package loadtest

import (
	"fmt"
	"testing"
)

// TestMessageCheck_FollowsEveryConnection: what connections send passes in pieces of any size, and not with one byte changed.
func TestMessageCheck_FollowsEveryConnection(t *testing.T) {
	for _, size := range []int{1, 2, 15, 16, 17, 64, 5000, 40_000} {
		c := DefaultConfig("127.0.0.1:1")
		c.TCP, c.BodySize = true, size
		sent, messages := buildTraffic(&c, target{}), NewMessages(c.Seed, size)
		for _, slot := range []int{0, 1, 31, 59_999} {
			stream := append(append([]byte{}, sent.of(slot)...), sent.of(slot)...)
			for _, piece := range []int{1, 7, len(stream)} {
				if whole, ok := follow(messages, stream, piece); !ok || whole != 2 {
					t.Errorf("size %d, connection %d, pieces of %d: %v, %d messages", size, slot, piece, ok, whole)
				}
				if size < headBytes {
					continue // a byte of few may be another message's
				}
				for _, at := range []int{0, size - 1, size, 2*size - 1} {
					spoilt := append([]byte{}, stream...)
					spoilt[at] ^= 1
					if _, ok := follow(messages, spoilt, piece); ok {
						t.Errorf("size %d, connection %d, pieces of %d: byte %d changed, and it passes", size, slot, piece, at)
					}
				}
			}
		}
	}
}

// follow checks a stream in pieces.
func follow(m *Messages, stream []byte, piece int) (whole int64, ok bool) {
	var c MessageCheck
	for len(stream) > 0 {
		n := min(piece, len(stream))
		if !m.Check(&c, stream[:n]) {
			return c.Whole, false
		}
		stream = stream[n:]
	}
	return c.Whole, true
}

func TestMessageCheck_TakesNoOtherMessage(t *testing.T) {
	m := NewMessages(1, 64)
	for name, stream := range map[string][]byte{
		"another seed": RandomBytes(2, 64), "a message cut short": append(RandomBytes(1, 64)[:63], RandomBytes(1, 64)...),
		"one that turns into another connection's": append(RandomBytes(1, 64), m.stream[stagger:stagger+64]...),
	} {
		if _, ok := follow(m, stream, 10); ok {
			t.Error(fmt.Sprint(name, " passes"))
		}
	}
}
