// Package accesslog writes a line for each request, off the loops: one goroutine takes finished requests out of rings of their own and makes
// lines, another one writes them. Between the two stands a bounded number of buffers. A slow or full disk costs lines, which are counted, and never
// holds up a loop.
package accesslog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spanwire/spanwire/core/ring"
	"github.com/spanwire/spanwire/core/span"
)

// Reason is why a line was lost; the label `reason` of spanwire_access_log_dropped_total.
type Reason uint8

// The reasons.
const (
	// ReasonRingFull: the ring between a loop and this package was full.
	ReasonRingFull Reason = iota
	// ReasonQueueFull: writing was so slow that all buffers were full.
	ReasonQueueFull
	// ReasonWrite: writing failed, such as on a full disk.
	ReasonWrite
	// ReasonShutdown: not written before the deadline of the shutdown.
	ReasonShutdown
	// NumReasons is the number of values of Reason.
	NumReasons
)

// String returns the value of the label.
func (r Reason) String() string {
	return [NumReasons]string{"ring_full", "queue_full", "write", "shutdown"}[r]
}

const (
	// bufferBytes is what is written at once: few system calls at any rate, and in the processor's cache until then.
	bufferBytes = 64 << 10
	// maxLineBytes is more than a line takes: the 752 bytes of a record's texts, each escaped with at most six, and the rest. A buffer with less room
	// than that is full.
	maxLineBytes = 6 << 10
	// numBuffers bounds what waits for the disk: 1 MiB, some 4000 lines.
	numBuffers = 16
	// tickMin and tickMax are how often the rings are looked at, with requests and without; in between they wake the goroutine when a quarter full.
	tickMin = 50 * time.Millisecond
	tickMax = 500 * time.Millisecond
)

// Config is what a Log is made from.
type Config struct {
	// File is appended to; "" = Output.
	File string
	// Output is where lines go without a File. Its Write may block.
	Output io.Writer
	// JSON: lines are JSON objects; else key=value.
	JSON bool
	// Log hears of the first write that fails, and of the first that succeeds again. nil = discard.
	Log *slog.Logger
}

// batch is a buffer of whole lines.
type batch struct {
	b     []byte
	lines int
}

// Log is an access log. Its methods may be called by any goroutine; Start and Shutdown once.
type Log struct {
	cfg   Config
	out   io.Writer
	rings []*ring.Ring[span.Record]

	wake    chan struct{} // sent to by the rings when they fill up
	stop    chan struct{} // closed by Shutdown: one last pass
	drained chan struct{} // closed after that
	ended   chan struct{} // closed when everything is written
	late    chan struct{} // closed at the deadline of the shutdown
	free    chan []byte   // empty buffers; nil ones are still to be made
	full    chan batch

	current batch // being filled; drain goroutine only
	torn    bool  // the last write ended within a line; writer goroutine only
	failing bool  // the last write failed; writer goroutine only

	lines   atomic.Uint64
	dropped [NumReasons]atomic.Uint64 // the rings count ReasonRingFull
}

// Open opens the file and takes the consumer's side of rings. Nothing is written before Start.
func Open(cfg Config, rings []*ring.Ring[span.Record]) (*Log, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	l := &Log{cfg: cfg, out: cfg.Output, rings: rings, wake: make(chan struct{}, 1), stop: make(chan struct{}), drained: make(chan struct{}),
		ended: make(chan struct{}), late: make(chan struct{}), free: make(chan []byte, numBuffers), full: make(chan batch, numBuffers)}
	if cfg.File != "" {
		// O_APPEND: a rotation that copies and truncates leaves no hole, and another writer's lines are not overwritten. O_NONBLOCK: a pipe without
		// a reader is an error rather than a start that hangs (man 7 fifo). Requests are nobody else's to read.
		f, err := os.OpenFile(cfg.File, os.O_WRONLY|os.O_APPEND|os.O_CREATE|syscall.O_NONBLOCK, 0o640)
		if err != nil {
			var cause *os.PathError
			if errors.As(err, &cause) {
				err = cause.Err
			}
			return nil, fmt.Errorf("--access-log %q: %w; want a file that can be written to", cfg.File, err)
		}
		l.out = f
	}
	for range numBuffers {
		l.free <- nil
	}
	for _, r := range rings {
		r.WakeOn(l.wake)
	}
	return l, nil
}

// Start begins to write.
func (l *Log) Start() {
	go l.drain()
	go l.write()
}

// Shutdown writes what is in the rings and buffers until ctx is done, and counts the rest as lost. Producers should have stopped.
func (l *Log) Shutdown(ctx context.Context) {
	close(l.stop)
	select {
	case <-l.ended:
	case <-ctx.Done():
		close(l.late)
		<-l.drained
		for b := range l.full {
			l.drop(ReasonShutdown, b.lines)
		}
		// What is being written stays unknown: a write that blocks cannot be ended.
	}
	if f, ok := l.out.(*os.File); ok && l.cfg.File != "" {
		_ = f.Close()
	}
}

// Stats is what became of the lines so far.
type Stats struct {
	Lines   uint64 // written
	Dropped [NumReasons]uint64
}

// Stats returns the account.
func (l *Log) Stats() Stats {
	s := Stats{Lines: l.lines.Load()}
	for i := range s.Dropped {
		s.Dropped[i] = l.dropped[i].Load()
	}
	for _, r := range l.rings {
		s.Dropped[ReasonRingFull] += r.Dropped()
	}
	return s
}

// drain is the goroutine that makes lines.
func (l *Log) drain() {
	defer close(l.drained)
	defer close(l.full)
	tick := tickMax
	timer := time.NewTimer(tick)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-l.wake:
		case <-l.stop:
			l.pass(true)
			return
		}
		if l.pass(false) > 0 {
			tick = tickMin
		} else {
			tick = min(2*tick, tickMax)
		}
		timer.Reset(tick)
	}
}

// pass makes lines of what is in the rings, about as much as they hold, and hands them on. The last pass waits for buffers. It returns how many records there were.
func (l *Log) pass(last bool) (n int) {
	for _, r := range l.rings {
		for range r.Cap() {
			rec := r.Peek()
			if rec == nil {
				break
			}
			l.add(rec, last)
			r.Release()
			n++
		}
	}
	l.seal()
	return n
}

// add appends the line of a record to the current buffer, or counts it as lost.
func (l *Log) add(rec *span.Record, last bool) {
	if l.current.b == nil && !l.begin(last) {
		reason := ReasonQueueFull
		if last {
			reason = ReasonShutdown
		}
		l.drop(reason, 1)
		return
	}
	l.current.b = appendLine(l.current.b, rec, l.cfg.JSON)
	l.current.lines++
	if cap(l.current.b)-len(l.current.b) < maxLineBytes {
		l.seal()
	}
}

// begin takes an empty buffer; false when there is none, or, where waiting is allowed, none came before the deadline.
func (l *Log) begin(wait bool) bool {
	var b []byte
	select {
	case b = <-l.free:
	default:
		if !wait {
			return false
		}
		select {
		case b = <-l.free:
		case <-l.late:
			return false
		}
	}
	if b == nil {
		b = make([]byte, 0, bufferBytes)
	}
	l.current = batch{b: b[:0]}
	return true
}

// seal hands the current buffer on, if there is something in it.
func (l *Log) seal() {
	if l.current.lines > 0 {
		l.full <- l.current // has room: there are as many places as buffers
		l.current = batch{}
	}
}

// write is the goroutine that writes.
func (l *Log) write() {
	defer close(l.ended)
	for b := range l.full {
		l.writeBatch(b)
		l.free <- b.b
	}
}

// writeBatch writes the lines of b. When that fails halfway, those that are whole count as written, and the next write begins with a line feed, so
// that no line is glued to another's beginning.
func (l *Log) writeBatch(b batch) {
	if l.torn {
		if n, _ := l.out.Write([]byte{'\n'}); n == 1 {
			l.torn = false
		}
	}
	n, err := l.out.Write(b.b)
	if err == nil {
		l.lines.Add(uint64(b.lines))
		if l.failing {
			l.failing = false
			l.cfg.Log.Info("access log is written again")
		}
		return
	}
	whole := 0
	for _, c := range b.b[:n] {
		if c == '\n' {
			whole++
		}
	}
	l.torn = l.torn || n > 0 && b.b[n-1] != '\n'
	l.lines.Add(uint64(whole))
	l.drop(ReasonWrite, b.lines-whole)
	if !l.failing {
		l.failing = true
		l.cfg.Log.Warn("access log cannot be written, lines are lost", "error", err)
	}
}

// drop counts n lines as lost.
func (l *Log) drop(reason Reason, n int) { l.dropped[reason].Add(uint64(n)) }
