//go:build e2e

package attacks

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"time"
)

// attack is one row: what is done, how it is limited, and what must become of it.
type attack struct {
	name string
	// what the attacker does and within which limits, for the report.
	what string
	// run starts the goroutines of the attack.
	run func(a *attacker)
	// processes is how many attackers there are at once; 0 = 1.
	processes int
	// fresh: each request of the victims has a connection of its own, since the attack is on the making of connections.
	fresh bool
	// descriptors limits those of the proxies; 0 = ample.
	descriptors int
	// holds is what the attack can make the sidecar hold, from which the bound of its memory follows.
	holds holding
	// counters must have gone up by this much at least over all rounds.
	counters map[string]float64
}

const (
	slowConnections = 1000
	chunksPerBody   = 1_000_000
	bigHeadBytes    = 64 << 10
	heldConnections = 300
	floodRequests   = 8 << 10
)

// table has the attacks. Rates are such that attacker, victims and upstream together leave room on their core: what is to be seen is what
// the proxy does with the load, not who gets the processor.
var table = []attack{
	{
		name: "Slowloris", what: "1 000 connections, each a head that never ends, 2 000 bytes a second in all, one by one.",
		run: slowloris, fresh: true,
		holds:    holding{sessions: slowConnections, heads: slowConnections, headBytes: 4 << 10},
		counters: map[string]float64{`spanwire_unedited_total{reason="slow_head"}`: 20},
	},
	{
		name: "Tiny chunks", what: "4 bodies of 1 000 000 chunks of one byte, 400 000 chunks a second; two send 5 000 of them a second one by one.",
		run: tinyChunks, holds: holding{sessions: 4, streams: 4},
		counters: map[string]float64{`spanwire_requests_total{side="inbound",status_class="2xx"}`: 1},
	},
	{
		name: "64 KiB heads", what: "8 connections, 150 requests a second whose heads are of 64 KiB less a byte, or one more than that.",
		run: bigHeads, holds: holding{sessions: 8, heads: 8, headBytes: bigHeadBytes, streams: 8},
		counters: map[string]float64{`spanwire_unedited_total{reason="head_size"}`: 50, `spanwire_opaque_total{reason="head_size"}`: 50},
	},
	{
		name: "Endless heads", what: "8 connections, header lines without end, 8 MB a second in all; again when they are cut off.",
		run: endlessHeads, holds: holding{sessions: 16, heads: 16, headBytes: bigHeadBytes, streams: 16},
		counters: map[string]float64{`spanwire_opaque_total{reason="head_size"}`: 8},
	},
	{
		name: "Endless trailers", what: "8 connections, trailer lines without end, 8 MB a second in all; again when they are cut off, after 1 MiB.",
		run: endlessTrailers, holds: holding{sessions: 16, heads: 16, headBytes: bigHeadBytes, streams: 16},
		counters: map[string]float64{`spanwire_opaque_total{reason="trailer"}`: 8},
	},
	{
		name: "Pipelined flood", what: "16 connections, requests for 64 KiB each without end, 4 000 a second in all, and nobody reads the answers.",
		run: pipelined, holds: holding{sessions: 32, streams: 32, inFlight: 64},
		counters: map[string]float64{`spanwire_opaque_total{reason="pipeline"}`: 16},
	},
	{
		name: "Out of descriptors", what: "3 processes with 300 connections each, where the proxy may have 600 descriptors; the refused ones again, 200 a second.",
		run: descriptors, processes: 3, descriptors: 600, holds: holding{sessions: 600},
		counters: map[string]float64{`spanwire_accept_backoffs_total`: 3, `spanwire_refused_total{reason="descriptors"}`: 1},
	},
	{
		name: "Churn", what: "A connection for each request, 2 000 a second, 16 at a time.",
		run: churn, fresh: true, holds: holding{sessions: 64, inFlight: 1},
		counters: map[string]float64{`spanwire_sessions_total{side="inbound"}`: 2000},
	},
	{
		name: "Resets", what: "1 500 connections a second that are reset at a random byte of a request or of its answer.",
		run: resets, fresh: true, holds: holding{sessions: 64, inFlight: 1, streams: 64},
		counters: map[string]float64{`spanwire_request_failures_total{kind="client_reset"}`: 100},
	},
}

// slowloris holds connections open with heads that never end; at the end of the attack one in twenty ends its head after all.
func slowloris(a *attacker) {
	const line = "GET /slow HTTP/1.1\r\nHost: victim\r\nX-Slow: "
	bytes, connects := perSecond(2000), perSecond(2000)
	conns := make([]*net.TCPConn, slowConnections)
	a.ready.Add(1)
	a.done.Go(func() {
		for i := range conns {
			connects.take(1)
			if conns[i] = a.dial(); conns[i] != nil {
				a.write(conns[i], []byte(line))
			}
		}
		a.ready.Done()
		for i := 0; !a.stopped(); i++ {
			if c := conns[i%len(conns)]; c != nil {
				a.write(c, []byte{'a'})
			}
			bytes.take(1)
		}
		for i, c := range conns {
			if c == nil {
				continue
			}
			if i%20 == 0 && a.write(c, []byte("\r\n\r\n")) {
				_, _ = io.ReadFull(c, make([]byte, len("HTTP/1.1 200 OK")))
				a.requests.Add(1)
			}
			_ = c.Close()
		}
	})
}

// tinyChunks sends bodies in chunks of a byte: two connections in pieces of 4 096 chunks, two in a packet for each chunk.
func tinyChunks(a *attacker) {
	const head = "POST /chunks HTTP/1.1\r\nHost: victim\r\nTransfer-Encoding: chunked\r\n\r\n"
	send := func(chunks *pace, piece int) {
		c := a.dial()
		if c == nil {
			return
		}
		defer a.hold(c)()
		data := []byte(strings.Repeat("1\r\na\r\n", piece))
		ok := a.write(c, []byte(head))
		for sent := 0; ok && sent < chunksPerBody && !a.stopped(); sent += piece {
			chunks.take(piece)
			ok = a.write(c, data)
		}
		if ok && a.write(c, []byte("0\r\n\r\n")) {
			_, _ = io.ReadFull(c, make([]byte, len("HTTP/1.1 200 OK")))
			a.requests.Add(1)
		}
	}
	many, single := perSecond(395_000), perSecond(5_000)
	a.each(2, func(*rand.Rand) { send(many, 4096) })
	a.each(2, func(*rand.Rand) { send(single, 1) })
}

// bigHeads sends heads at the limit of what is observed, and beyond it.
func bigHeads(a *attacker) {
	requests := perSecond(150)
	a.each(8, func(random *rand.Rand) {
		c := a.dial()
		if c == nil {
			return
		}
		defer a.hold(c)()
		for over := false; !over && !a.stopped(); {
			requests.take(1)
			over = random.IntN(2) == 0
			size := bigHeadBytes - 1
			if over {
				size = bigHeadBytes + 1
			}
			if !a.write(c, head(size)) || !answer(c) {
				return
			}
			a.requests.Add(1)
		}
	})
}

// head returns a request of size bytes, in lines of 8 KiB.
func head(size int) []byte {
	b := []byte("GET /big HTTP/1.1\r\nHost: victim\r\n")
	for len(b) < size-len("\r\n") {
		line := min(8<<10, size-len("\r\n")-len(b))
		if rest := size - len("\r\n") - len(b) - line; rest > 0 && rest < 16 {
			line -= 16 // the last line needs room for its name
		}
		b = append(b, "X-Big: "...)
		b = append(b, bytes.Repeat([]byte{'a'}, line-len("X-Big: \r\n"))...)
		b = append(b, "\r\n"...)
	}
	return append(b, "\r\n"...)
}

// answer reads an answer whose head comes in the first read or two, with its body.
func answer(c net.Conn) bool {
	buf := make([]byte, 0, 8<<10)
	for {
		n, err := c.Read(buf[len(buf):cap(buf)])
		if err != nil {
			return false
		}
		buf = buf[:len(buf)+n]
		if _, body, ok := bytes.Cut(buf, []byte("\r\n\r\n")); ok && len(body) >= answerBytes {
			return true
		}
	}
}

// endlessHeads sends header lines until it is cut off.
func endlessHeads(a *attacker) {
	endless(a, "GET /endless HTTP/1.1\r\nHost: victim\r\n", 900)
}

// endlessTrailers sends trailer lines until it is cut off.
func endlessTrailers(a *attacker) {
	endless(a, "POST "+endlessTrailersPath+" HTTP/1.1\r\nHost: victim\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n", 900)
}

// endless sends start, then lines of size bytes.
func endless(a *attacker, start string, size int) {
	bytes, connects := perSecond(8_000_000), perSecond(200)
	lines := []byte(strings.Repeat("X-Endless: "+strings.Repeat("a", size-len("X-Endless: \r\n"))+"\r\n", 4))
	a.each(8, func(*rand.Rand) {
		connects.take(1)
		c := a.dial()
		if c == nil {
			return
		}
		defer a.hold(c)()
		for ok := a.write(c, []byte(start)); ok && !a.stopped(); {
			bytes.take(len(lines))
			ok = a.write(c, lines)
		}
	})
}

// pipelined asks for more than it will ever read; a connection that is stuck is held for a second.
func pipelined(a *attacker) {
	requests := perSecond(4000)
	const batch = 40
	ask := []byte(strings.Repeat("GET /flood?size=65536 HTTP/1.1\r\nHost: victim\r\n\r\n", batch))
	a.each(16, func(*rand.Rand) {
		c := a.dial()
		if c == nil {
			return
		}
		defer a.hold(c)()
		_ = c.SetReadBuffer(4 << 10)
		for sent := 0; sent < floodRequests && !a.stopped(); sent += batch {
			requests.take(batch)
			_ = c.SetWriteDeadline(time.Now().Add(time.Second))
			if !a.write(c, ask) {
				return
			}
			a.requests.Add(batch)
		}
	})
}

// descriptors opens more connections than the proxy may have, and holds them.
func descriptors(a *attacker) {
	connects := perSecond(200)
	a.ready.Add(heldConnections)
	for range heldConnections {
		a.done.Go(func() {
			first := true
			for !a.stopped() {
				if !first {
					connects.take(1)
				}
				c := a.dial()
				if first {
					first = false
					a.ready.Done()
				}
				if c == nil {
					continue
				}
				release := a.hold(c)
				a.write(c, []byte("GET /held HTTP/1.1\r\nHost: victim\r\n\r\n"))
				_, _ = io.Copy(io.Discard, c) // until it is cut off
				release()
			}
		})
	}
}

// churn makes a connection for each request.
func churn(a *attacker) {
	connects := perSecond(2000)
	a.each(16, func(*rand.Rand) {
		connects.take(1)
		c := a.dial()
		if c == nil {
			return
		}
		defer a.hold(c)()
		if a.write(c, []byte("GET /churn HTTP/1.1\r\nHost: victim\r\nConnection: close\r\n\r\n")) {
			_, _ = io.Copy(io.Discard, c)
			a.requests.Add(1)
		}
	})
}

// resets resets connections at random places.
func resets(a *attacker) {
	connects := perSecond(1500)
	request := []byte("POST /reset?size=20000 HTTP/1.1\r\nHost: victim\r\nContent-Length: 2000\r\n\r\n" + strings.Repeat("b", 2000))
	a.each(8, func(random *rand.Rand) {
		connects.take(1)
		c := a.dial()
		if c == nil {
			return
		}
		defer reset(c)
		sent := random.IntN(2 * len(request)) // half of the requests are complete
		if !a.write(c, request[:min(sent, len(request))]) || sent < len(request) {
			return
		}
		a.requests.Add(1)
		_, _ = io.ReadFull(c, make([]byte, random.IntN(20_000)))
	})
}
