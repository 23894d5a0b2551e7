package core

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spanwire/spanwire/parsers"
)

// The steps of a plan: the low three bits say what, the rest how much, or by whom (its lowest bit).
const (
	opClient    = iota // the client says something
	opServer           // the server does
	opPause            // the session's timer runs out: what is held is let go
	opHalfClose        // one shuts down its sending side
	opClose            // one closes
	opReset            // one resets
	opListen           // one stops to read, or begins again
	opBurst            // the next steps come at once, without the engine's having a turn in between
	numOps
)

// act writes a step.
func act(op byte, arg int) byte { return op | byte(arg)<<3 }

// say writes that a side says something: up to 23 bytes, then 32, 64 ... 8192; the most means all.
func say(side, howMuch int) byte { return act(byte(side), howMuch) }

// sayBytes is how many bytes an argument of say stands for.
func sayBytes(arg int) int {
	switch {
	case arg == 31:
		return maxSessionBytes
	case arg > 22:
		return 32 << (arg - 23)
	}
	return arg + 1
}

const (
	// stuckAfter ends a session in which nothing has happened for so long, and for so many rounds: a machine that is busy may not come to
	// this process for seconds.
	stuckAfter  = 5 * time.Second
	stuckRounds = 10_000
	// kernelPatience is how long nothing may happen while the kernel has bytes on their way. Narrow sockets drop what does not fit, and probe
	// windows that were closed, at intervals that double from 200 ms (RFC 9293 §3.8.1, §3.8.6.1).
	kernelPatience = time.Minute
	// idleRounds is how many rounds of the loop nothing must have moved in for the engine to be waiting for the player.
	idleRounds = 3
	// narrowBytes is the socket buffers of knobNarrow; the kernel doubles it.
	narrowBytes = 4 << 10
)

// player plays one session on the loop of its stage. Its rounds are functions posted to that loop; what a round does, the
// engine sees before the next one: the sockets' events stand before the player's in epoll's list.
type player struct {
	*stage
	knobs byte
	plan  []byte
	model model
	log   []string
	since time.Time // when something happened last …
	still int       // … and how many rounds ago

	sides   [2]end
	sent    []utterance // since the last time that all was settled
	burst   int
	idle    int
	ending  bool
	opened  uint64 // sessions before this one
	scratch [4096]byte
	before  holdings
	done    chan struct{}
	err     error
}

// utterance is what a side has said or done since the model was told last.
type utterance struct {
	side  int
	bytes []byte
	end   bool // it half-closed or left
}

// loopback is the n-th address of the loopback network, port 0.
func loopback(n byte) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, n}), 0)
}

// begin connects the client. Loop goroutine, as all of a player but check.
func (p *player) begin() {
	p.before = p.hold()
	p.happened()
	p.opened = p.w.stats.SessionsTotal[0] + p.w.stats.SessionsTotal[1]
	p.w.turn = turnBytes
	if p.knobs&knobShort != 0 {
		p.w.turn = 64
	}
	for i := range p.sides {
		p.sides[i].fd = noFD
	}
	entry := p.entry
	if p.knobs&knobRefused != 0 {
		entry = p.refused
	}
	to := netip.MustParseAddrPort(entry[p.knobs&knobOutbound])
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		p.finish(err)
		return
	}
	p.sides[client].fd = fd
	p.prepare(fd)
	if err := unix.Connect(fd, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())}); err != nil && err != unix.EINPROGRESS {
		p.finish(fmt.Errorf("connect: %w", err))
		return
	}
	p.post(p.arrive)
}

// prepare sets the options of a socket of the player's, or of the session's.
func (p *player) prepare(fd int) {
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if p.knobs&knobNarrow != 0 {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, narrowBytes)
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, narrowBytes)
	}
}

// happened notes that something did.
func (p *player) happened() { p.since, p.still = time.Now(), 0 }

// stuck reports whether nothing will happen any more.
func (p *player) stuck() bool {
	if p.still++; p.still < stuckRounds {
		return false
	}
	since := time.Since(p.since)
	return since > kernelPatience || since > stuckAfter && !p.underWay()
}

// underWay reports whether the kernel has bytes that it has yet to deliver.
func (p *player) underWay() bool {
	var fds []int
	for i := range p.sides {
		if e := &p.sides[i]; !e.closed {
			fds = append(fds, e.fd)
		}
		if s := p.w.sessions; s != nil {
			fds = append(fds, int(s.socks[i].fd))
		}
	}
	return slices.ContainsFunc(fds, func(fd int) bool { return fd != noFD && unsentBytes(fd) > 0 })
}

// post has the loop call round once it has done what is to be done.
func (p *player) post(round func()) {
	if p.stuck() {
		p.finish(errors.New("stuck: " + p.state()))
		return
	}
	if err := p.w.loop.Post(round); err != nil {
		p.finish(err)
	}
}

// state says where things stand.
func (p *player) state() string {
	s := "no session"
	if k := p.w.sessions; k != nil {
		s = fmt.Sprintf("session %v, opaque %v (%v), received %d, pending %d and %d, kept %d and %d, unsent to client %d, to server %d", k.phase, k.opaque,
			k.why, k.received, len(k.flows[0].pending), len(k.flows[1].pending), len(k.flows[0].kept), len(k.flows[1].kept),
			unsentBytes(int(k.socks[client].fd)), unsentBytes(int(k.socks[server].fd)))
	}
	for i := range p.sides {
		e := &p.sides[i]
		s += fmt.Sprintf("; %v: said %d, %d left, heard %d, ended by %v, lost by %v, closed %v", parsers.Direction(i), len(e.said), len(e.queue)+len(e.rest), len(e.heard),
			e.heardIt, e.lost, e.closed)
	}
	return s
}

// arrive waits for the session, and takes its other end.
func (p *player) arrive() {
	if p.w.stats.SessionsTotal[0]+p.w.stats.SessionsTotal[1] == p.opened {
		p.post(p.arrive)
		return
	}
	if p.knobs&knobRefused != 0 {
		p.sides[server] = end{fd: noFD, closed: true}
		p.post(p.round)
		return
	}
	fd, _, err := unix.Accept4(p.listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	switch {
	case err == unix.EAGAIN:
		p.post(p.arrive)
		return
	case err != nil:
		p.finish(fmt.Errorf("accept: %w", err))
		return
	}
	p.sides[server].fd = fd
	p.prepare(fd)
	if s := p.w.sessions; s != nil && s.phase == phaseRelaying {
		p.prepare(int(s.socks[client].fd))
		p.prepare(int(s.socks[server].fd))
	}
	p.post(p.round)
}

// round lets both sides read and write, and once nothing moves any more takes the next step.
func (p *player) round() {
	moved := p.move()
	if moved {
		p.idle = 0
		p.happened()
	} else {
		p.idle++
	}
	if !p.settled() {
		p.post(p.round)
		return
	}
	p.idle = 0
	p.tell()
	if err := p.late(); err != nil {
		p.finish(err)
		return
	}
	if p.ending {
		p.wait()
		return
	}
	p.burst = 1
	p.happened()
	for p.burst > 0 && len(p.plan) > 0 {
		step := p.plan[0]
		p.plan = p.plan[1:]
		p.step(step%numOps, int(step/numOps))
		p.burst--
	}
	if len(p.plan) == 0 && p.burst > 0 {
		p.end()
	}
	p.post(p.round)
}

// move writes what waits and reads what has come; it reports whether anything did.
func (p *player) move() (moved bool) {
	for i := range p.sides {
		e := &p.sides[i]
		moved = e.write() || moved
		for !e.deaf && e.read(p.scratch[:]) {
			moved = true
		}
	}
	return moved
}

// settled reports whether the engine waits for the player.
func (p *player) settled() bool {
	return p.idle >= 1 && p.seen() || p.idle >= idleRounds && len(p.w.again.list) == 0 && p.unmoved()
}

// seen reports whether the engine has read all that was said, and heard of every end.
func (p *player) seen() bool {
	s := p.w.sessions
	if s == nil {
		return true
	}
	if len(p.w.again.list) > 0 || s.phase != phaseRelaying {
		return false
	}
	for i := range p.sides {
		e := &p.sides[i]
		if e.reset || len(e.queue) > 0 && e.lost == nil || s.received[i] != uint64(len(e.said)) || (e.shut || e.closed) && !s.flows[i].eof || len(s.flows[i].pending) > 0 {
			return false
		}
	}
	return true
}

// unmoved reports whether the kernel has nothing on its way to a side that reads.
func (p *player) unmoved() bool {
	s := p.w.sessions
	if s == nil {
		return true
	}
	for i := range s.socks {
		k, e := &s.socks[i], &p.sides[i]
		if k.fd != noFD && !e.deaf && !e.closed && e.heardIt == nil && unsentBytes(int(k.fd)) > 0 {
			return false
		}
	}
	return true
}

// late says what the engine keeps though it has seen all and both sides take all: bytes other than those of an incomplete head, or the end
// of a stream.
func (p *player) late() error {
	s := p.w.sessions
	if s == nil || !p.seen() {
		return nil
	}
	for i := range p.sides {
		to, from := &p.sides[1-i], &p.sides[i]
		if to.deaf || to.ended() {
			continue
		}
		held := len(s.flows[i].kept) - int(s.flows[i].sent)
		switch {
		case from.shut:
			return fmt.Errorf("the %s half-closed, and the %s has not heard of it", sideNames[i], sideNames[1-i])
		case i == server && p.exact && len(to.heard) != len(from.said):
			return fmt.Errorf("the client has heard %d bytes of %d", len(to.heard), len(from.said))
		case i == client && s.exchanges.head == nil && len(p.model.asks) == 0 && !p.model.unsure && len(to.heard) < len(from.said)-held:
			return fmt.Errorf("the server has heard %d bytes of %d, %d held back", len(to.heard), len(from.said), held)
		}
	}
	return nil
}

// tell tells the model what was said since it was told last, if the order in which the engine saw it is known.
func (p *player) tell() {
	asked, answered := false, false
	for _, u := range p.sent {
		asked = asked || u.side == client && len(u.bytes) > 0
		answered = answered || u.side == server
	}
	known := p.seen() && !(asked && answered)
	for _, u := range p.sent {
		if !known {
			p.model.lose()
		}
		if len(u.bytes) > 0 {
			p.model.hear(u.side, u.bytes)
		}
		if u.end {
			p.model.end(u.side)
		}
	}
	p.sent = p.sent[:0]
}

// step takes one step of the plan.
func (p *player) step(op byte, arg int) {
	e, side := &p.sides[arg&1], arg&1
	switch op {
	case opClient, opServer:
		side = int(op)
		p.say(side, sayBytes(arg))
		return
	case opPause:
		p.logf("pause")
		p.elapse()
		return
	case opBurst:
		p.burst += arg + 1
		p.logf("the next %d at once", arg+1)
		return
	case opListen:
		e.deaf = !e.deaf
		p.logf("%s deaf: %v", sideNames[side], e.deaf)
		return
	}
	if e.closed {
		return
	}
	p.model.vague = p.model.vague || op != opHalfClose
	switch op {
	case opHalfClose:
		p.logf("%s half-closes", sideNames[side])
		p.halfClose(side)
	case opClose:
		p.logf("%s closes", sideNames[side])
		e.closed = true
		closeFD(e.fd)
		p.sent = append(p.sent, utterance{side: side, end: true})
	case opReset:
		p.logf("%s resets", sideNames[side])
		e.closed, e.reset = true, true
		resetFD(e.fd)
		p.sent = append(p.sent, utterance{side: side, end: true})
	}
}

var sideNames = [2]string{"client", "server"}

// logf notes what was done.
func (p *player) logf(format string, args ...any) {
	p.log = append(p.log, fmt.Sprintf(format, args...))
}

// say has a side say up to n bytes of what is left.
func (p *player) say(side, n int) {
	e := &p.sides[side]
	n = min(n, len(e.rest))
	if n == 0 || e.mute() {
		return
	}
	b := e.rest[:n]
	e.rest = e.rest[n:]
	e.queue = append(e.queue, b...)
	p.logf("%s, %d bytes: %.300q", sideNames[side], n, b)
	p.sent = append(p.sent, utterance{side: side, bytes: b})
	e.write()
}

// mute reports whether a side can say nothing any more.
func (e *end) mute() bool { return e.shut || e.closed || e.lost != nil }

// halfClose shuts down a side's sending, behind what it has yet to write.
func (p *player) halfClose(side int) {
	e := &p.sides[side]
	if e.shut || e.closed {
		return
	}
	e.shut = true
	if len(e.queue) == 0 {
		shutdownFD(e.fd)
	}
	p.sent = append(p.sent, utterance{side: side, end: true})
}

// elapse has the session's timer run out.
func (p *player) elapse() {
	if s := p.w.sessions; s != nil && s.phase != phaseDialing && s.timer.Active() {
		p.w.loop.StopTimer(&s.timer)
		s.Expire()
	}
}

// end has both sides say what is left, half-close and listen.
func (p *player) end() {
	for side := range p.sides {
		if e := &p.sides[side]; len(e.rest) > 0 && !e.mute() {
			p.say(side, len(e.rest))
			return
		}
	}
	p.ending = true
	p.logf("the end")
	for side := range p.sides {
		p.sides[side].deaf = false
		p.halfClose(side)
	}
}

// wait waits for the end of the session, as both sides see it.
func (p *player) wait() {
	if p.w.sessions == nil && p.sides[0].ended() && p.sides[1].ended() {
		p.finish(nil)
		return
	}
	p.elapse()
	p.post(p.round)
}

// ended reports whether a side has heard the end.
func (e *end) ended() bool { return e.closed || e.heardIt != nil }

// finish ends the play.
func (p *player) finish(err error) {
	p.err = err
	for i := range p.sides {
		if e := &p.sides[i]; e.fd != noFD && !e.closed {
			closeFD(e.fd)
		}
	}
	p.w.turn = turnBytes
	if err == nil {
		p.err = p.released()
	}
	close(p.done)
}
