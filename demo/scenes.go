package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spanwire/spanwire/demo/backend"
	"github.com/spanwire/spanwire/demo/collector"
	"github.com/spanwire/spanwire/demo/mesh"
	"github.com/spanwire/spanwire/demo/spans"
)

// errUsage says that the command line, or the machine, lacks something.
var errUsage = errors.New("cannot start")

// exportPatience bounds the wait for the last span after the last answer; sidecars send at least every second.
const exportPatience = 15 * time.Second

// scene is one run of the mesh.
type scene struct {
	title    string
	exporter []string             // the sidecars' arguments
	sent     *collector.Collector // is sent every span by the sidecars themselves
	server   *backend.Server      // is sent every span too; nil: there is none
	brief    bool                 // counts and comparison only, no drawing
}

// runScenes runs the demo that opts ask for. interrupted ends with Ctrl-C only.
func runScenes(ctx, interrupted context.Context, s *show, opts options) error {
	for _, binary := range []string{opts.spanwire, opts.service} {
		if _, err := os.Stat(binary); err != nil {
			return fmt.Errorf("%w: %w: run make build demo-service", errUsage, err)
		}
	}
	if opts.transparent {
		return s.playTransparent(ctx, opts)
	}
	switch opts.collector {
	case "demo":
		return withCollector(func(c *collector.Collector) error {
			return s.play(ctx, opts, scene{
				title:    "the demo's collector (Zipkin v2)",
				exporter: []string{"--exporter", "zipkin", "--zipkin-endpoint", c.ZipkinEndpoint()},
				sent:     c,
			})
		})
	case "zipkin":
		return withZipkin(ctx, interrupted, s, opts)
	case "jaeger":
		return withJaeger(ctx, interrupted, s, opts)
	}
	return fmt.Errorf("%w: --collector %q: demo, zipkin or jaeger", errUsage, opts.collector)
}

// withCollector runs f with a collector of its own.
func withCollector(f func(c *collector.Collector) error) error {
	c, err := collector.Start()
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	return f(c)
}

// withZipkin plays one scene into a real Zipkin. What the sidecars sent is known from the same spans sent as OTLP to the demo's
// collector.
func withZipkin(ctx, interrupted context.Context, s *show, opts options) error {
	java, err := backend.FindJava()
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if _, err := os.Stat(opts.zipkinJar); err != nil {
		return fmt.Errorf("%w: --zipkin-jar: %w (make demo-zipkin fetches it)", errUsage, err)
	}
	s.say("Starting Zipkin; a Java virtual machine takes some seconds.")
	z, err := backend.StartZipkin(ctx, java, opts.zipkinJar)
	if err != nil {
		return err
	}
	defer z.Kill()
	s.say("Zipkin      pid %-6d takes spans at %s", z.PID(), z.Endpoint())
	err = withCollector(func(c *collector.Collector) error {
		return s.play(ctx, opts, scene{
			title:    "Zipkin",
			exporter: []string{"--exporter", "zipkin,otlp", "--zipkin-endpoint", z.Endpoint(), "--otlp-endpoint", c.OTLPEndpoint()},
			sent:     c,
			server:   &z.Server,
		})
	})
	if err != nil {
		return err
	}
	s.keep(interrupted, opts, z.Name)
	return z.Stop()
}

// withJaeger plays one scene into a real Jaeger for each wire format that it takes. What the sidecars sent is known from the same
// spans sent as Zipkin v2 to the demo's collector.
func withJaeger(ctx, interrupted context.Context, s *show, opts options) error {
	if _, err := os.Stat(opts.jaeger); err != nil {
		return fmt.Errorf("%w: --jaeger: %w (make demo-jaeger builds it)", errUsage, err)
	}
	s.say("Starting Jaeger.")
	j, err := backend.StartJaeger(ctx, opts.jaeger)
	if err != nil {
		return err
	}
	defer j.Kill()
	for i, endpoint := range j.Endpoints() {
		err := withCollector(func(c *collector.Collector) error {
			return s.play(ctx, opts, scene{
				title:    "Jaeger (" + endpoint.Format + ", " + endpoint.URL + ")",
				exporter: []string{"--exporter", "jaeger,zipkin", "--jaeger-endpoint", endpoint.URL, "--zipkin-endpoint", c.ZipkinEndpoint()},
				sent:     c,
				server:   &j.Server,
				brief:    i > 0, // the drawing would be the same
			})
		})
		if err != nil {
			return fmt.Errorf("%s: %w", endpoint.Format, err)
		}
	}
	s.keep(interrupted, opts, j.Name)
	return j.Stop()
}

// play runs the mesh once: start, burst, stop, judge, show.
func (s *show) play(ctx context.Context, opts options, sc scene) (err error) {
	s.head("Three services, a spanwire beside each; spans go to %s", sc.title)
	m, err := mesh.Start(ctx, mesh.Config{Spanwire: opts.spanwire, Service: opts.service, Exporter: sc.exporter, Say: s.say})
	if err != nil {
		return err
	}
	defer m.Kill() // does nothing once Stop has

	s.head("Sending %d requests to the frontend: one by one first, then several at once", opts.requests)
	began := time.Now()
	paths, err := m.Burst(ctx, opts.requests)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, m.Logs())
	}
	expected := len(paths) * mesh.SpansPerRequest
	s.say("%d answers in %v; waiting for %d spans.", len(paths), time.Since(began).Round(time.Millisecond), expected)

	// A span may be missing or one too many: so wait for the number, then for the sidecars' end, which sends what is left.
	waiting, cancel := context.WithTimeout(ctx, exportPatience)
	late := sc.sent.Wait(waiting, expected)
	cancel()
	if err := errors.Join(m.Check(), m.Stop(), sc.sent.Problems()); err != nil {
		return err
	}
	sent := sc.sent.Spans()
	s.counts(len(paths), expected, len(sent))
	if err := errors.Join(late, mesh.Verify(sent, paths)); err != nil {
		return fmt.Errorf("%w\n%s", err, m.Logs())
	}
	shown := sent
	if sc.server != nil {
		if shown, err = s.compare(ctx, sc.server, sent, paths); err != nil {
			return err
		}
	}
	s.say("traces right    %5d   (the exact tree of services, kinds, operations and statuses)", len(paths))
	if sc.brief {
		return nil
	}
	return s.trace(shown, paths[len(paths)-1], sc.server)
}

// compare reads all traces back from a real server and compares them, span by span, with what was sent.
func (s *show) compare(ctx context.Context, server *backend.Server, sent []spans.Span, paths []string) ([]spans.Span, error) {
	waiting, cancel := context.WithTimeout(ctx, exportPatience)
	defer cancel()
	got, err := server.Traces(waiting, backend.Wanted(sent))
	if err != nil {
		return nil, err
	}
	if diff := spans.Diff(sent, got); len(diff) > 0 {
		return nil, fmt.Errorf("%s gives back other spans than were sent:\n  %s", server.Name, strings.Join(diff[:min(len(diff), 20)], "\n  "))
	}
	s.say("%s gives back %d spans: ids, parents, kinds, names, times and tags as sent.", server.Name, len(got))
	return got, mesh.Verify(got, paths)
}
