package route

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// TTL is how long an answer about a name holds: Go's resolver does not tell the record's own. As long as explicit upstreams are trusted.
	TTL = 30 * time.Second
	// failTTL is how long a failure holds, and an old answer when asking again failed.
	failTTL = 2 * time.Second
	// resolveTimeout bounds one look-up.
	resolveTimeout = 5 * time.Second
	// maxLookups is how many names are looked up at a time: whoever may set routes could otherwise start any number.
	maxLookups = 8
	// maxTargets bounds the targets that values share, some hundred bytes each.
	maxTargets = 4096
)

// Routes is what all loops share about routes. It is safe for use by several goroutines.
type Routes struct {
	// Table remembers values under request ids.
	Table Table

	allow  *Allow
	own    func(netip.AddrPort) bool
	lookup func(ctx context.Context, host string) ([]netip.Addr, error)

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	slots  chan struct{}
	asking sync.WaitGroup

	mu      sync.Mutex
	targets map[string]*Target
}

// New makes Routes that lead where allow permits, remember values for ttl after their last use (0 = DefaultTTL), and hold size of them (0 =
// DefaultSize).
func New(allow *Allow, ttl time.Duration, size int) *Routes {
	r := &Routes{allow: allow, slots: make(chan struct{}, maxLookups), targets: make(map[string]*Target)}
	r.Table.init(ttl, size)
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
		return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	}
	return r
}

// SetOwn says which addresses are this sidecar's own listeners, where no route may lead. To be called before the loops start.
func (r *Routes) SetOwn(own func(netip.AddrPort) bool) { r.own = own }

// Close ends what is being looked up and waits for it.
func (r *Routes) Close() {
	r.cancel()
	r.asking.Wait()
}

// Target is a host and a port that a route leads to.
type Target struct {
	// Name is host:port.
	Name string

	label  []byte
	r      *Routes
	host   string
	port   uint16
	answer atomic.Pointer[Answer]

	mu      sync.Mutex
	waiting []func()
}

// Label is Name as a tag's value. It must not be changed.
func (t *Target) Label() []byte { return t.label }

// Answer is what is known of a Target. It never changes.
type Answer struct {
	// Addrs are the permitted addresses.
	Addrs []netip.AddrPort
	// Refused: there are addresses, and none is permitted. Without it and without addresses the name does not resolve.
	Refused bool
	until   time.Time // zero: for ever
}

// target returns the Target of host (lower case) and port, the same for all who ask while it is known.
func (r *Routes) target(host string, port uint16) *Target {
	key := name(host, port)
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.targets[key]; t != nil {
		return t
	}
	t := &Target{Name: key, label: []byte(key), r: r, host: host, port: port}
	if ip, err := netip.ParseAddr(host); err == nil {
		t.answer.Store(t.judge([]netip.Addr{ip}, time.Time{}))
	}
	if len(r.targets) == maxTargets {
		clear(r.targets) // values hold on to theirs; new ones share new ones
	}
	r.targets[key] = t
	return t
}

// judge makes an answer of addresses.
func (t *Target) judge(ips []netip.Addr, until time.Time) *Answer {
	a := &Answer{until: until}
	for _, ip := range ips {
		ap := netip.AddrPortFrom(ip.Unmap(), t.port)
		if t.r.allow.Permits(t.host, ap.Addr()) {
			a.Addrs = append(a.Addrs, ap)
		}
	}
	a.Refused = len(ips) > 0 && len(a.Addrs) == 0
	return a
}

// Answer returns what is known of t; nil when it must be asked for. Any goroutine; it never blocks. Own listeners are left out here, since they are known
// late.
func (t *Target) Answer() *Answer {
	a := t.answer.Load()
	if a == nil || !a.until.IsZero() && time.Now().After(a.until) {
		return nil
	}
	if t.r.own != nil {
		for _, ap := range a.Addrs {
			if t.r.own(ap) {
				return &Answer{Refused: true}
			}
		}
	}
	return a
}

// Ask looks t's name up, off the loops, and then calls done on some other goroutine, whatever came of it. It never blocks.
func (t *Target) Ask(done func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.r.ctx.Err() != nil {
		return // whoever asks is ending too
	}
	t.waiting = append(t.waiting, done)
	if len(t.waiting) == 1 {
		t.r.asking.Go(t.resolve)
	}
}

// resolve is the goroutine that looks a name up once.
func (t *Target) resolve() {
	select {
	case t.r.slots <- struct{}{}:
		t.answer.Store(t.find())
		<-t.r.slots
	case <-t.r.ctx.Done():
		return // whoever waits is ending too
	}
	t.mu.Lock()
	waiting := t.waiting
	t.waiting = nil
	t.mu.Unlock()
	for _, done := range waiting {
		done()
	}
}

// find asks the resolver. When that fails an old answer goes on for a moment: a resolver that is briefly away breaks no route.
func (t *Target) find() *Answer {
	ctx, cancel := context.WithTimeout(t.r.ctx, resolveTimeout)
	defer cancel()
	ips, err := t.r.lookup(ctx, t.host)
	now := time.Now()
	if err == nil {
		return t.judge(ips, now.Add(TTL))
	}
	a := &Answer{until: now.Add(failTTL)}
	if old := t.answer.Load(); old != nil {
		a.Addrs, a.Refused = old.Addrs, old.Refused
	}
	return a
}
