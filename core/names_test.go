package core

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// names is the DNS server that upstream names are looked up with while tests run.
var names = &nameServer{addrs: make(map[string][]netip.Addr), held: make(map[string]chan struct{}), asked: make(map[string][]time.Time)}

// TestMain points the process's resolver at names, and lets the test binary stand in for the processes that tests start.
func TestMain(m *testing.M) {
	if run, ok := roles[os.Getenv(roleVariable)]; ok {
		if err := run(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if err := names.start(); err != nil {
		panic(err)
	}
	// A loop with one processor to itself keeps it for up to 8 ms a wait (package loop, nap), which on a machine with one processor its
	// peers in this process would have to wait for.
	runtime.GOMAXPROCS(max(2, runtime.GOMAXPROCS(0)))
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", names.at)
	}}
	os.Exit(m.Run())
}

// The types of questions (RFC 1035 §3.2.2, RFC 3596 §2.1).
const (
	typeA    = 1
	typeAAAA = 28
)

// nameServer answers A and AAAA queries from a table; a name that is not there is "no such name".
type nameServer struct {
	at    string
	mu    sync.Mutex
	addrs map[string][]netip.Addr
	held  map[string]chan struct{} // names whose questions wait
	asked map[string][]time.Time   // when a name was asked for; a look-up of both types counts once
}

// hold has questions for name wait until release is called.
func (n *nameServer) hold(t *testing.T, name string) (release func()) {
	held := make(chan struct{})
	n.mu.Lock()
	defer n.mu.Unlock()
	n.held[name] = held
	release = sync.OnceFunc(func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.held, name)
		close(held)
	})
	t.Cleanup(release)
	return release
}

// lookUps returns when name was looked up.
func (n *nameServer) lookUps(name string) []time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.asked[name])
}

// set says which addresses a name has, in order.
func (n *nameServer) set(name string, addrs ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.addrs[name] = nil
	for _, a := range addrs {
		n.addrs[name] = append(n.addrs[name], netip.MustParseAddr(a))
	}
}

// forget makes a name unknown again, as if it had never been asked for.
func (n *nameServer) forget(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.addrs, name)
	delete(n.asked, name)
}

func (n *nameServer) start() error {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	n.at = c.LocalAddr().String()
	go func() {
		b := make([]byte, 1500)
		for {
			size, peer, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			query := append([]byte(nil), b[:size]...)
			go func() { _, _ = c.WriteTo(n.answer(query), peer) }()
		}
	}()
	return nil
}

// answer makes the answer to a query with one question (RFC 1035 §4.1).
func (n *nameServer) answer(query []byte) []byte {
	var labels []string
	end := 12
	for end < len(query) && query[end] != 0 {
		size := int(query[end])
		labels = append(labels, string(query[end+1:end+1+size]))
		end += 1 + size
	}
	end += 5 // root label, type, class
	kind := binary.BigEndian.Uint16(query[end-4:])
	name := strings.ToLower(strings.Join(labels, "."))
	n.mu.Lock()
	if kind == typeA {
		n.asked[name] = append(n.asked[name], time.Now())
	}
	held := n.held[name]
	n.mu.Unlock()
	if held != nil {
		<-held
	}
	n.mu.Lock()
	addrs, known := n.addrs[name]
	n.mu.Unlock()
	out := append([]byte(nil), query[:end]...)
	out[2], out[3] = 0x84, 0 // response, authoritative
	binary.BigEndian.PutUint16(out[8:], 0)
	binary.BigEndian.PutUint16(out[10:], 0)
	if !known {
		out[3] = 3 // no such name
		return out
	}
	count := uint16(0)
	for _, a := range addrs {
		if kind != typeA && kind != typeAAAA || a.Is4() != (kind == typeA) {
			continue
		}
		ip := a.AsSlice()
		out = append(out, 0xC0, 12, 0, byte(kind), 0, 1, 0, 0, 0, 0, 0, byte(len(ip))) // the question's name, type, IN, TTL 0
		out = append(out, ip...)
		count++
	}
	binary.BigEndian.PutUint16(out[6:], count)
	return out
}
