package trace

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spanwire/spanwire/core/route"
)

// ErrConfig is wrapped by every error of NewShared and ParseSampler.
var ErrConfig = errors.New("trace settings")

// Defaults of Config, taken for zero values.
const (
	DefaultRequestIDHeader = "X-Request-Id"
	DefaultJoinTTL         = 5 * time.Second
	DefaultJoinSize        = 65536
	DefaultMaxOperations   = 1000
)

// maxNameBytes bounds a configured header name: lengths are looked up in the bits of a word. No registered header comes near.
const maxNameBytes = 63

// maxJoinSize bounds JoinSize: 16 Mi entries are more than a gigabyte.
const maxJoinSize = 1 << 24

// Config is what a Shared is made from. The zero value stands for the defaults.
type Config struct {
	// RequestIDHeader names the header that joins outbound to inbound requests; "" = X-Request-Id.
	RequestIDHeader string
	// Propagators are the formats to read, in order, and to write: the first always, the others where they are present.
	// Of tracecontext, b3, b3multi, jaeger; empty = all, in this order.
	Propagators []string
	// Sampler decides for new traces; nil = always.
	Sampler Sampler
	// SamplerRules are OPERATION=SAMPLER (* stands for anything), in order: the first that matches an operation's name replaces
	// Sampler for it.
	SamplerRules []string
	// Routes switches routing on; nil = off. RouteHeader and RouteCookie bear the values: "" = X-Route, and no cookie.
	Routes                   *route.Routes
	RouteHeader, RouteCookie string
	// JoinTTL is how long an id is remembered after its last use; 0 = 5 s.
	JoinTTL time.Duration
	// JoinSize is how many ids are remembered at most; 0 = 65536.
	JoinSize int
	// Naming is "otel" (METHOD path) or "netra" (inbound path, outbound host and path); "" = otel.
	Naming string
	// NoInject lists hosts ("name", "*.domain", port left out), addresses and CIDRs whose outbound requests get no headers.
	NoInject []string
	// MaxOperations is how many distinct names there may be, then {other}; 0 = 1000.
	MaxOperations int
	// IgnorePaths and IgnoreAgents are patterns of requests without a span: exact, or globs in which * stands for anything.
	IgnorePaths, IgnoreAgents []string
	// FoldPaths are rules REGEXP[=>REPLACEMENT] (RE2, $1 for groups), in order. The replacement defaults to /{id} when the
	// expression starts with a slash, else to {id}.
	FoldPaths []string
	// Fold is "auto" (identifiers are folded by fixed rules, after FoldPaths) or "off"; "" = auto.
	Fold string
	// Templates are path templates of the application's own description, below the paths of its servers, BareTemplates the same
	// without those. They win over folding, for inbound requests. Each begins with a slash, and its braces pair.
	Templates, BareTemplates []string
	// XSourceHeader and XSourceValue are set on every outbound request when both are given.
	XSourceHeader, XSourceValue string
	// TagHeaders and TagCookies are NAME[:tag]: headers and cookies, of the request and of the response, that become tags of inbound
	// spans.
	TagHeaders, TagCookies []string
	// RedactQuery says which values of a query spans do not show: "all"; names, beside those that look like secrets; "none" first
	// takes those away. Empty = names that look like secrets.
	RedactQuery []string
	// TraceResponseHeader names the header that bears the trace id in responses; "" = none.
	TraceResponseHeader string
	// CountOperations: requests are given their operation's number (Active.Operation), sampled or not, and inbound requests are watched
	// for ids that the application drops (Active.Drop).
	CountOperations bool
	// MaxPeers is how many distinct hosts outbound requests are told apart by (Active.Peer), then {other}; 0 = they are not.
	// Invariant: 0 unless CountOperations.
	MaxPeers int
	// DescribeAll: records of requests without a span have their texts as well, for an access log.
	DescribeAll bool
}

// Shared holds what all loops share: the settings, the join table, the sampler and the set of operation names. It is safe for
// use by several goroutines through their Tracers.
type Shared struct {
	sampler      Sampler
	ignoreParent bool
	samplerRules []samplerRule
	remote       *Remote // nil: the sampler is not remote
	byOperation  bool    // which sampler decides depends on the operation
	order        []Format
	configured   [NumFormats]bool
	headers      headerTable // of requests
	answers      headerTable // of responses
	joins        joinTable

	requestIDLine string // "Name: "
	xSourceLine   string // the whole line with CRLF; "" = none
	answerLine    string // "Name: " of the trace id in responses; "" = none
	ours          []string

	netra        bool
	noHosts      []string
	noNets       []netip.Prefix
	ignorePaths  []glob
	ignoreAgents []glob
	rules        []foldRule
	autoFold     bool
	templates    *templates // nil = none
	tags         []tagRule
	cookies      []tagRule
	redact       redaction

	routes      *route.Routes // nil: off
	routeLine   string        // "Name: "
	routeCookie string        // "": none

	operations nameSet
	peers      nameSet

	countOperations, describeAll bool
	calls                        callWatch
}

// SettingError is what NewShared has against a value.
type SettingError struct {
	Setting string // the name of its flag, without dashes
	Value   string
	Why     string // what is allowed
}

func (e *SettingError) Error() string { return fmt.Sprintf("%s %q: %s", e.Setting, e.Value, e.Why) }

// refused makes a SettingError.
func refused(setting, value, why string, args ...any) error {
	return &SettingError{Setting: setting, Value: value, Why: fmt.Sprintf(why, args...)}
}

// NewShared validates c. Its errors wrap a SettingError.
func NewShared(c Config) (*Shared, error) {
	s := &Shared{sampler: c.Sampler, countOperations: c.CountOperations, describeAll: c.DescribeAll}
	if s.sampler == nil {
		s.sampler = always{}
	}
	if w, ok := s.sampler.(ignoreParent); ok {
		s.sampler, s.ignoreParent = w.Sampler, true
	}
	for _, step := range []func(*Config) error{s.setHeaders, s.setRoute, s.setPropagators, s.setJoin, s.setNames, s.setNoInject, s.setTags,
		s.setAnswer, s.setRedact, s.setRules} {
		if err := step(&c); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrConfig, err)
		}
	}
	return s, nil
}

// setHeaders validates the names and values that are written, and builds the table of known headers.
func (s *Shared) setHeaders(c *Config) error {
	id := c.RequestIDHeader
	if id == "" {
		id = DefaultRequestIDHeader
	}
	if err := checkWritable("request-id-header", id); err != nil {
		return err
	}
	s.requestIDLine = id + ": "
	for _, k := range contextHeaders {
		s.headers.add(k.name, k.is)
		if k.is != headDebugID {
			s.ours = append(s.ours, k.name)
		}
	}
	s.headers.add("user-agent", headUserAgent)
	s.headers.add("authorization", headAuthorization)
	s.headers.add(strings.ToLower(id), headRequestID)
	s.ours = append(s.ours, strings.ToLower(id))
	if c.XSourceHeader == "" || c.XSourceValue == "" {
		return nil
	}
	if err := checkWritable("x-source-header", c.XSourceHeader); err != nil {
		return err
	}
	if strings.EqualFold(c.XSourceHeader, id) {
		return refused("x-source-header", c.XSourceHeader, "must differ from the request id header")
	}
	if !isVisible(c.XSourceValue) {
		return refused("x-source-value", c.XSourceValue, "must be visible ASCII characters and inner spaces")
	}
	s.headers.add(strings.ToLower(c.XSourceHeader), headXSource)
	s.ours = append(s.ours, strings.ToLower(c.XSourceHeader))
	s.xSourceLine = c.XSourceHeader + ": " + c.XSourceValue + "\r\n"
	return nil
}

// setPropagators fills the order of formats.
func (s *Shared) setPropagators(c *Config) error {
	names := c.Propagators
	if len(names) == 0 {
		names = formatNames[:]
	}
	for _, n := range names {
		i := slices.Index(formatNames[:], n)
		if i < 0 {
			return refused("propagators", n, "allowed are %s", strings.Join(formatNames[:], ", "))
		}
		if s.configured[i] {
			return refused("propagators", n, "named twice")
		}
		s.configured[i] = true
		s.order = append(s.order, Format(i))
	}
	return nil
}

// setJoin validates the bounds of the join table.
func (s *Shared) setJoin(c *Config) error {
	ttl, size := c.JoinTTL, c.JoinSize
	if ttl == 0 {
		ttl = DefaultJoinTTL
	}
	if size == 0 {
		size = DefaultJoinSize
	}
	if ttl < 0 {
		return refused("join-ttl", ttl.String(), "must be positive")
	}
	if size < 0 || size > maxJoinSize {
		return refused("join-size", strconv.Itoa(size), "allowed are 1 to %d", maxJoinSize)
	}
	s.joins.init(size, int64(ttl))
	return nil
}

// setNames validates naming, folding, ignoring and the cap on names.
func (s *Shared) setNames(c *Config) error {
	switch c.Naming {
	case "", "otel":
	case "netra":
		s.netra = true
	default:
		return refused("naming", c.Naming, "allowed are otel, netra")
	}
	switch c.Fold {
	case "", "auto":
		s.autoFold = true
	case "off":
	default:
		return refused("fold", c.Fold, "allowed are auto, off")
	}
	operations := c.MaxOperations
	if operations == 0 {
		operations = DefaultMaxOperations
	}
	if operations < 0 {
		return refused("max-operations", strconv.Itoa(c.MaxOperations), "must be at least 1")
	}
	if c.MaxPeers < 0 || c.MaxPeers > 0 && !c.CountOperations {
		panic("BUG: trace: MaxPeers without CountOperations")
	}
	s.operations.init(operations)
	s.peers.init(c.MaxPeers)
	for _, text := range c.FoldPaths {
		r, err := parseFoldRule(text)
		if err != nil {
			return err
		}
		s.rules = append(s.rules, r)
	}
	s.templates = newTemplates(c.Templates, c.BareTemplates)
	s.ignorePaths = parseGlobs(c.IgnorePaths)
	s.ignoreAgents = parseGlobs(c.IgnoreAgents)
	return nil
}

// framing lists the names that an edit must never touch: framing, hop-by-hop and content headers (RFC 9110 §7.6.1, RFC 9112 §6),
// and those read here for another purpose.
var framing = []string{
	"host", "content-length", "transfer-encoding", "connection", "keep-alive", "proxy-connection", "proxy-authenticate",
	"proxy-authorization", "upgrade", "expect", "te", "trailer", "http2-settings",
	"authorization", "cookie", "set-cookie", "user-agent", "date", "via", "range", "location",
}

// checkWritable says why a header of that name may not be written; nil if it may.
func checkWritable(setting, name string) error {
	if !isToken(name) || len(name) > maxNameBytes {
		return refused(setting, name, "must be a header name of at most %d characters", maxNameBytes)
	}
	low := strings.ToLower(name)
	if slices.Contains(framing, low) || strings.HasPrefix(low, "content-") {
		return refused(setting, name, "must not be a framing, hop-by-hop, content or credential header")
	}
	for _, k := range contextHeaders {
		if low == k.name {
			return refused(setting, name, "must not be a trace context header")
		}
	}
	return nil
}

// isToken reports whether s is a token as RFC 9110 §5.6.2 has it.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !('a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0) {
			return false
		}
	}
	return s != ""
}

// isVisible reports whether s can stand as a header value: visible ASCII, spaces only inside.
func isVisible(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return s != "" && s[0] != ' ' && s[len(s)-1] != ' '
}
