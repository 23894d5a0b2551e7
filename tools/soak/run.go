package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// options say what to run.
type options struct {
	bin    string
	length time.Duration
	rate   float64 // requests a second, all kinds together
	seed   uint64
	race   bool // the program is built with the race detector
}

// runner holds the parts of a run.
type runner struct {
	options
	out        io.Writer
	sidecar    *sidecar
	tally      *tally
	targets    targets
	collectors [len(exporterNames)]*collector
	began      time.Time
	verify     bool
	deadPorts  [sides]int // sockets that hold them until the program ends
	queue      int        // of each exporter; 0 = the sidecar's default
}

// observed is all that is known at the end of a run.
type observed struct {
	length        time.Duration // how long traffic was sent
	warm          time.Duration
	rate          float64
	verify, race  bool
	interrupted   bool
	samples       []sample
	before, after sample
	metrics       series
	counts        counts
	taken         [len(exporterNames)]taken
	inFlight      int64
	exit          int
	problem       string // what ended the run early, or was found in the log
}

// loops is how many the sidecar is given, so that runs on different machines are alike.
const loops = 2

// inFlight is what may be missing from an account while spans move: the loops' rings, and a batch on its way into a queue.
const inFlight = loops*2048 + 1024

// shortQueue is the exporters' queue in a run whose outages of seconds the usual one would outlast: full queues are to be seen too.
const shortQueue = 1500

// execute runs it all; ctx ends the traffic early. An error means that there is nothing to judge.
func (r *runner) execute(ctx context.Context) (*observed, error) {
	upstream, err := serve()
	if err != nil {
		return nil, err
	}
	defer upstream.close()
	app, err := serve()
	if err != nil {
		return nil, err
	}
	defer app.close()
	if err := r.startCollectors(); err != nil {
		return nil, err
	}
	defer func() {
		for _, c := range r.collectors {
			c.stop()
		}
	}()
	if err := r.start(app, upstream); err != nil {
		return nil, err
	}
	defer r.sidecar.kill()
	connections := &http.Transport{MaxIdleConnsPerHost: 16, DisableCompression: true, DialContext: dialer.DialContext}
	app.fetch = r.fetcher(&http.Client{Transport: connections})
	return r.observe(ctx, connections.CloseIdleConnections)
}

func (r *runner) startCollectors() (err error) {
	for i, read := range []func([]byte) ([][8]byte, bool){readOTLP, readZipkin} {
		if r.collectors[i], err = newCollector(exporterNames[i], read); err != nil {
			return err
		}
	}
	return nil
}

// start starts the sidecar with three listeners a side: plain, TLS, and one in front of nobody.
func (r *runner) start(app, upstream *application) error {
	help, err := exec.Command(r.bin, "run", "--help").CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s run --help: %w", r.bin, err)
	}
	r.verify = strings.Contains(string(help), "--verify")
	args := []string{
		"run", "--service-name", "soak", "--loops", strconv.Itoa(loops), "--metrics", "127.0.0.1:0", "--admin", "off",
		"--exporter", "otlp,zipkin", "--otlp-endpoint", "http://" + r.collectors[0].addr,
		"--zipkin-endpoint", "http://" + r.collectors[1].addr + "/api/v2/spans", "--metrics-operations",
	}
	if r.verify {
		args = append(args, "--verify")
	}
	if r.length < 10*time.Minute {
		r.queue = shortQueue
		args = append(args, "--export-queue", strconv.Itoa(r.queue))
	}
	var dead [sides]string
	for s, a := range [...]*application{app, upstream} {
		if dead[s], r.deadPorts[s], err = deadPort(); err != nil {
			return err
		}
		for _, to := range []string{a.plain, a.secure, dead[s]} {
			args = append(args, "--"+side(s).String(), "127.0.0.1:0="+to)
		}
	}
	if r.sidecar, err = startSidecar(r.bin, args); err != nil {
		return err
	}
	r.targets.roots, r.targets.limit = x509.NewCertPool(), visitLimit
	if r.race {
		r.targets.limit = raceLimit
	}
	for s, a := range [...]*application{app, upstream} {
		r.targets.plain[s] = r.sidecar.listener(a.plain)
		r.targets.secure[s] = r.sidecar.listener(a.secure)
		r.targets.dead[s] = r.sidecar.listener(dead[s])
		if r.targets.plain[s] == "" || r.targets.secure[s] == "" || r.targets.dead[s] == "" {
			return fmt.Errorf("the sidecar does not say where it listens:\n%s", r.sidecar.log.String())
		}
		r.targets.roots.AddCert(a.certificate)
	}
	return nil
}

// deadPort returns an address where nobody listens, and nobody will until the socket is closed: it is bound.
func deadPort() (addr string, fd int, err error) {
	if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return "", fd, err
	}
	if err = unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 3}}); err != nil {
		return "", fd, err
	}
	bound, err := unix.Getsockname(fd)
	if in, ok := bound.(*unix.SockaddrInet4); ok {
		addr = fmt.Sprintf("127.0.0.3:%d", in.Port)
	}
	return addr, fd, err
}

// fetcher returns how the application calls the upstream: through the sidecar.
func (r *runner) fetcher(client *http.Client) func(context.Context, string, string) ([]byte, error) {
	return func(ctx context.Context, id, requestID string) ([]byte, error) {
		var header []string
		if requestID != "" {
			header = []string{"X-Request-Id", requestID}
		}
		status, body, err := exchange(ctx, client, http.MethodGet, "http://"+r.targets.plain[outbound]+"/items/"+id, nil, header...)
		r.tally.visibleRequest(outbound, status)
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("status %d", status)
		}
		return body, err
	}
}

var errEnded = errors.New("the sidecar has ended")

// observe sends the traffic, measures, has the application hang up, and closes the accounts.
func (r *runner) observe(ctx context.Context, hangUp func()) (*observed, error) {
	o := &observed{rate: r.rate, verify: r.verify, race: r.race, inFlight: inFlight}
	r.began = time.Now()
	var err error
	if o.before, _, err = r.take(); err != nil {
		return nil, err
	}
	traffic, stop := context.WithTimeout(ctx, r.length)
	defer stop()
	var all sync.WaitGroup
	disturbed := make([]error, len(r.collectors))
	cycle := cycleOf(r.length)
	for i, c := range r.collectors {
		all.Go(func() { disturbed[i] = c.disturb(traffic, time.Duration(i)*cycle/2, cycle) })
	}
	all.Go(func() { run(traffic, &r.targets, r.tally, r.rate, r.seed) })
	o.samples, err = r.watch(traffic)
	stop()
	o.length = time.Since(r.began)
	o.interrupted = ctx.Err() != nil
	o.warm = warmUp(min(r.length, o.length))
	all.Wait()
	hangUp()
	if err == nil {
		err = errors.Join(disturbed...)
	}
	if err == nil {
		err = r.settle(o)
	}
	if err != nil {
		o.problem = ", " + err.Error() + r.logEnd()
	}
	o.exit = r.sidecar.stop()
	for _, sign := range []string{"panic", "BUG:", "DATA RACE", "fatal error"} {
		if strings.Contains(r.sidecar.log.String(), sign) {
			o.problem += fmt.Sprintf(", its log says %q%s", sign, r.logEnd())
		}
	}
	o.counts = r.tally.counts()
	for i, c := range r.collectors {
		o.taken[i] = c.taken()
	}
	return o, nil
}

// logEnd returns the log for whoever looks for the reason of a failure.
func (r *runner) logEnd() string { return "\nlog of the sidecar:\n" + r.sidecar.log.String() }

// watch measures each second until the traffic ends, and prints a line each minute; in a run of less than ten, each tenth of it.
func (r *runner) watch(traffic context.Context) (samples []sample, err error) {
	every := min(time.Minute, max(r.length/10, time.Second))
	next := every
	for n := 1; pause(traffic, time.Until(r.began.Add(time.Duration(n)*time.Second))); n++ {
		if r.sidecar.gone() {
			return samples, errEnded
		}
		s, _, err := r.take()
		if err != nil {
			return samples, err
		}
		samples = append(samples, s)
		if time.Since(r.began) >= next {
			fmt.Fprintln(r.out, s.line())
			next += every
		}
	}
	return samples, nil
}

// settlePatience bounds the wait for the accounts to close: the exporters' longest pause between two attempts is ten seconds, their
// idle connections live five, and a queue is sent in seconds.
const settlePatience = 90 * time.Second

// settle waits until nothing moves any more, and takes the last measurements.
func (r *runner) settle(o *observed) (err error) {
	for deadline := time.Now().Add(settlePatience); ; time.Sleep(200 * time.Millisecond) {
		if r.sidecar.gone() {
			return errEnded
		}
		if o.after, o.metrics, err = r.take(); err != nil {
			return err
		}
		quiet := o.after.Sessions == 0 && o.after.Descriptors <= o.before.Descriptors+2
		for i := range exporterNames {
			quiet = quiet && o.after.Exporters[i].Queued == 0 && o.after.gap(i) == 0
		}
		if quiet || time.Now().After(deadline) {
			return nil // what is not quiet by now, the verdicts name
		}
	}
}
