//go:build e2e

package attacks

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
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
	// atOnce and perSecond are what the attack is at full pace, all attackers together: what its start comes to, and each second. 0 = not judged.
	atOnce, perSecond attackCounts
	// bodies is how many bodies of a million chunks must have been answered in each round.
	bodies int64
	// counters of the sidecar must have gone up by this much at least for each round, which the victims alone cannot bring about: their sessions are
	// taken off.
	counters map[string]float64
}

const (
	slowConnections = 1000
	chunksPerBody   = 1_000_000
	bigHeadBytes    = 64 << 10
	heldConnections = 300
	floodRequests   = 8 << 10

	tinyChunk   = "1\r\na\r\n"
	manyRate    = 395_000 // chunks a second, in large pieces …
	singleRate  = 5_000   // … and one by one
	tinyRate    = manyRate + singleRate
	endlessRate = 8_000_000 // bytes a second

	sessionsSeries = `spanwire_sessions_total{side="inbound"}`
	// leastSeconds is how many seconds at its full pace an attack has done at least in a round that counts.
	leastSeconds = fullShare * float64(victimWindow/time.Second)
)

// table has the attacks. Rates are such that attacker, victims and upstream together leave room on their core: what is to be seen is what
// the proxy does with the load, not who gets the processor.
var table = []attack{
	{
		name: "Slowloris", what: "1 000 connections, each a head that never ends, 2 000 bytes a second in all, one by one.",
		run: slowloris, fresh: true,
		holds:  holding{sessions: slowConnections, heads: slowConnections, headBytes: 4 << 10},
		atOnce: attackCounts{Connections: slowConnections}, perSecond: attackCounts{Bytes: 2000},
		counters: map[string]float64{`spanwire_unedited_total{reason="slow_head"}`: 20},
	},
	{
		name: "Tiny chunks", what: "Bodies of 1 000 000 chunks of one byte, 395 000 a second, each sent to its end and answered; two more, 5 000 a second one by one.",
		run: tinyChunks, holds: holding{sessions: 3, streams: 3},
		atOnce: attackCounts{Connections: 3}, bodies: 1, perSecond: attackCounts{Bytes: tinyRate * int64(len(tinyChunk))},
		counters: map[string]float64{`spanwire_bytes_total{direction="client_to_server"}`: chunksPerBody * float64(len(tinyChunk))},
	},
	{
		name: "64 KiB heads", what: "8 connections, 150 requests a second whose heads are of 64 KiB less a byte, or one more than that.",
		run: bigHeads, holds: holding{sessions: 8, heads: 8, headBytes: bigHeadBytes, streams: 8},
		perSecond: attackCounts{Requests: 150, Bytes: 150 * bigHeadBytes},
		counters:  map[string]float64{`spanwire_unedited_total{reason="head_size"}`: 50, `spanwire_opaque_total{reason="head_size"}`: 50},
	},
	{
		name: "Endless heads", what: "8 connections, header lines without end, 8 MB a second in all; again when they are cut off.",
		run: endlessHeads, holds: holding{sessions: 16, heads: 16, headBytes: bigHeadBytes, streams: 16},
		atOnce: attackCounts{Connections: 8}, perSecond: attackCounts{Bytes: endlessRate},
		counters: map[string]float64{`spanwire_opaque_total{reason="head_size"}`: 8},
	},
	{
		name: "Endless trailers", what: "8 connections, trailer lines without end, 8 MB a second in all; again when they are cut off, after 1 MiB.",
		run: endlessTrailers, holds: holding{sessions: 16, heads: 16, headBytes: bigHeadBytes, streams: 16},
		atOnce: attackCounts{Connections: 8}, perSecond: attackCounts{Bytes: endlessRate},
		counters: map[string]float64{`spanwire_opaque_total{reason="trailer"}`: 8},
	},
	{
		name: "Pipelined flood", what: "16 connections, requests for 64 KiB each without end, 4 000 a second in all, and nobody reads the answers.",
		run: pipelined, holds: holding{sessions: 32, streams: 32, inFlight: 64},
		atOnce: attackCounts{Connections: 16}, perSecond: attackCounts{Requests: 4000},
		counters: map[string]float64{`spanwire_opaque_total{reason="pipeline"}`: 8},
	},
	{
		name: "Out of descriptors", what: "3 processes with 300 connections each, where the proxy may have 600 descriptors; the refused ones again, 200 a second.",
		run: descriptors, processes: 3, descriptors: 600, holds: holding{sessions: 600},
		atOnce:   attackCounts{Connections: 3 * heldConnections},
		counters: map[string]float64{`spanwire_accept_backoffs_total`: 1, `spanwire_refused_total{reason="descriptors"}`: 1},
	},
	{
		name: "Churn", what: "A connection for each request, 2 000 a second, 16 at a time.",
		run: churn, fresh: true, holds: holding{sessions: 64, inFlight: 1},
		perSecond: attackCounts{Connections: 2000, Requests: 2000},
		counters:  map[string]float64{sessionsSeries: 2000 * leastSeconds},
	},
	{
		name: "Resets", what: "1 500 connections a second that are reset at a random byte of a request or of its answer.",
		run: resets, fresh: true, holds: holding{sessions: 64, inFlight: 1, streams: 64},
		perSecond: attackCounts{Connections: 1500, Bytes: 1500 * 1500},
		counters:  map[string]float64{`spanwire_request_failures_total{kind="client_reset"}`: 300, sessionsSeries: 1500 * leastSeconds},
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
				_, _ = conns[i].Write([]byte(line)) // not counted: what is is the pace afterwards
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

// tinyChunks sends bodies in chunks of a byte: one connection in pieces of 4 000 chunks, whole bodies one after the other, two in a packet for
// each chunk, as far as they come.
func tinyChunks(a *attacker) {
	many, single := perSecond(manyRate), perSecond(singleRate)
	a.each(1, func(*rand.Rand) { a.wholeBody(many) })
	a.each(2, func(*rand.Rand) {
		c := a.dial()
		if c == nil {
			return
		}
		defer a.hold(c)()
		for ok := a.write(c, []byte(chunksHead)); ok && !a.stopped(); {
			single.take(1)
			ok = a.write(c, []byte(tinyChunk))
		}
	})
}

const chunksHead = "POST /chunks HTTP/1.1\r\nHost: victim\r\nTransfer-Encoding: chunked\r\n\r\n"

// wholeBody sends a body of chunksPerBody chunks of a byte and reads its answer. A body that has been begun is sent to its end, even when the
// attack is over meanwhile.
func (a *attacker) wholeBody(chunks *pace) {
	const piece = 4000
	c := a.dial()
	if c == nil {
		return
	}
	defer func() { _ = c.Close() }()
	data := []byte(strings.Repeat(tinyChunk, piece))
	ok := a.write(c, []byte(chunksHead))
	for sent := 0; ok && sent < chunksPerBody; sent += piece {
		chunks.take(piece)
		ok = a.write(c, data)
	}
	if !ok || !a.write(c, []byte("0\r\n\r\n")) {
		a.complain("a body of a million chunks was cut off")
		return
	}
	a.requests.Add(1)
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		a.complain(fmt.Sprintf("no answer to a million chunks: %v", err))
		return
	}
	read, body := res.Header.Get(readField), 0
	if b, err := io.ReadAll(res.Body); err == nil {
		body = len(b)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK || read != strconv.Itoa(chunksPerBody) || body != answerBytes {
		a.complain(fmt.Sprintf("a million chunks were answered with status %d and %d bytes, the application read %q bytes", res.StatusCode, body, read))
		return
	}
	a.bodies.Add(1)
}

// complain keeps what is wrong with an answer.
func (a *attacker) complain(wrong string) { a.wrong.Store(&wrong) }

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
	bytes, connects := perSecond(endlessRate), perSecond(200)
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
