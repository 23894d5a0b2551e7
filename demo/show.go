package main

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/spanwire/spanwire/demo/backend"
	"github.com/spanwire/spanwire/demo/mesh"
	"github.com/spanwire/spanwire/demo/spans"
	"github.com/spanwire/spanwire/demo/waterfall"
)

// show tells a reader what happens.
type show struct {
	out   *os.File
	style waterfall.Style
}

// say writes a line.
func (s *show) say(format string, args ...any) {
	_, _ = fmt.Fprintf(s.out, "  "+format+"\n", args...)
}

// head writes a line that begins something new.
func (s *show) head(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	if s.style.Color {
		line = "\x1b[1m" + line + "\x1b[0m"
	}
	_, _ = fmt.Fprintf(s.out, "\n%s\n", line)
}

// counts writes what was counted.
func (s *show) counts(requests, expected, received int) {
	s.head("Counted")
	s.say("requests        %5d", requests)
	s.say("spans expected  %5d   (%d a request: one for each side of each call)", expected, mesh.SpansPerRequest)
	s.say("spans received  %5d", received)
}

// trace draws the trace of one request. All trees have been verified by then.
func (s *show) trace(all []spans.Span, path string, server *backend.Server) error {
	traces := spans.ByTrace(all)
	for id, trace := range traces {
		root, err := spans.Tree(trace)
		if err != nil {
			return err
		}
		if root.Tags["url.path"] != path {
			continue
		}
		s.head("Trace %s of %s", id, path)
		if err := waterfall.Write(s.out, root, s.style); err != nil {
			return err
		}
		if server != nil {
			s.say("")
			s.say("In %s: %s", server.Name, server.UI(id))
		}
		return nil
	}
	return fmt.Errorf("no trace of %s among %d", path, len(traces))
}

// keep waits for Ctrl-C when that was asked for and somebody is there to press it.
func (s *show) keep(interrupted context.Context, opts options, name string) {
	if !opts.keep || !isTerminal(os.Stdin) {
		return
	}
	s.head("%s keeps running, so that you can look at its pages. Ctrl-C ends it.", name)
	<-interrupted.Done()
}

// isTerminal reports whether f is a terminal.
func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
