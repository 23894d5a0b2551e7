package core

import (
	"testing"
	"time"

	"github.com/spanwire/spanwire/core/loop"
)

// An answer is waited for awake when something was passed on to the server, in HTTP and in any other protocol; not when the server alone speaks, and
// not without
// Config.BusyPoll.
func TestAnswersAreAwaitedAwake(t *testing.T) {
	const (
		enough = 200 // one chance in 64 is always taken
		poll   = 100 * time.Microsecond
	)
	echo := func(l *link) {
		l.send("ping")
		_ = mustRead(t, l.server, 4)
		l.reply("pong")
		_ = mustRead(t, l.client, 4)
	}
	http := func(l *link) {
		l.send(request)
		_ = head(t, l.server)
		l.reply("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		_ = head(t, l.client)
	}
	for _, c := range []struct {
		name string
		cfg  Config
		turn func(l *link)
		want bool
	}{
		{"HTTP/1", Config{BusyPoll: poll}, http, true},
		{"opaque", Config{Disabled: true, BusyPoll: poll}, echo, true},
		{"the server alone speaks", Config{Disabled: true, BusyPoll: poll}, func(l *link) { l.reply("event"); _ = mustRead(t, l.client, 5) }, false},
		{"switched off", Config{Disabled: true}, echo, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := connect(t, c.cfg)
			before := l.e.Stats().BusyPolls
			for range enough {
				c.turn(l)
			}
			if c.want {
				eventually(t, "a wait awake", func() bool { c.turn(l); return l.e.Stats().BusyPolls != before })
				return
			}
			time.Sleep(10 * time.Millisecond)
			if got := l.e.Stats().BusyPolls; got != (loop.BusyPolls{}) {
				t.Errorf("waits awake: %+v", got)
			}
		})
	}
}
