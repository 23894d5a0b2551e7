package trace

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"github.com/spanwire/spanwire/core/span"
)

// w3cGrammar is the grammar of a traceparent, said another way.
var w3cGrammar = regexp.MustCompile(`^(00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}|` +
	`([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?)$`)

func FuzzTraceParent(f *testing.F) {
	for _, s := range []string{"", "00-" + traceHex + "-" + spanHex + "-01", "01-" + traceHex + "-" + spanHex + "-ff-x", "ff-" +
		traceHex + "-" + spanHex + "-00",
		"00-" + strings.Repeat("0", 32) + "-" + spanHex + "-01", "00-" + strings.ToUpper(traceHex) + "-" + spanHex + "-01"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, v []byte) {
		c, ok := parseTraceParent(v)
		want := len(v) >= 55 && !bytes.ContainsAny(v, "\r\n") && w3cGrammar.Match(v) && string(v[:2]) != "ff" &&
			(string(v[:2]) != "00" || len(v) == 55) &&
			string(v[3:35]) != strings.Repeat("0", 32) && string(v[36:52]) != strings.Repeat("0", 16)
		if ok != want && !bytes.ContainsAny(v, "\r\n") {
			t.Fatalf("%q: valid %v, want %v", v, ok, want)
		}
		roundTrip(t, FormatW3C, c, ok)
	})
}

// b3SpanDigits are the digits of B3's span ids; a trace id has as many or twice as many.
const b3SpanDigits = `[0-9a-fA-F]{16}`

// b3TraceID and b3SpanID are the grammar of B3's ids, b3Grammar that of the single header: trace, span, state and parent.
var (
	b3TraceID = regexp.MustCompile(`^(?:` + b3SpanDigits + `){1,2}$`)
	b3SpanID  = regexp.MustCompile(`^` + b3SpanDigits + `$`)
	b3Grammar = regexp.MustCompile(`^((?:` + b3SpanDigits + `){1,2})-(` + b3SpanDigits + `)(-([01d])(-` + b3SpanDigits + `)?)?$`)
)

// hasIDs reports whether c has the ids that B3 writes so.
func hasIDs(c *spanContext, trace, id string) bool {
	return hexOf(c.trace[:]) == strings.Repeat("0", 32-len(trace))+strings.ToLower(trace) && hexOf(c.span[:]) == strings.ToLower(id)
}

// b3Seeds are shapes around the grammar; runs of 33 to 48 digits have made other readers panic.
func b3Seeds() []string {
	ids := traceHex + "-" + spanHex
	return []string{"", "0", "1", "d", "x", ids, ids + "-1", ids + "-d-" + spanHex, ids + "-" + spanHex, traceHex, traceHex +
		"a", traceHex + spanHex,
		"8448eb211c80319c-" + spanHex + "-0", strings.Repeat("a", 33), strings.Repeat("0", 48)}
}

func FuzzB3(f *testing.F) {
	for _, s := range b3Seeds() {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, v []byte) {
		c, ok := parseB3(v)
		m := b3Grammar.FindStringSubmatch(string(v))
		want := m != nil && strings.Trim(m[1], "0") != "" && strings.Trim(m[2], "0") != "" || len(v) == 1 &&
			strings.Contains("01d", string(v))
		if ok != want {
			t.Fatalf("%q: valid %v, want %v", v, ok, want)
		}
		if ok && m != nil {
			state := map[string]decision{"": open, "0": drop, "1": sample, "d": debug}[m[4]]
			if !hasIDs(&c, m[1], m[2]) || c.decision != state {
				t.Fatalf("%q: %+v", v, c)
			}
		}
		roundTrip(t, FormatB3, c, ok)
	})
}

func FuzzB3Multi(f *testing.F) {
	f.Add(traceHex, spanHex, "", "1", "")
	f.Add("8448eb211c80319c", spanHex, spanHex, "", "1")
	f.Add("", "", "", "TRUE", "0")
	f.Add(traceHex, "", "", "0", "")
	f.Add("+000000000000001", spanHex, "", "x", "")
	// A value that in a single header would be two fields.
	f.Add("8448eb211c80319c", spanHex+"-1", "", "", "")
	f.Fuzz(func(t *testing.T, trace, id, parent, sampled, flags string) {
		c, ok := parseB3Multi(multiOf([5]string{trace, id, parent, sampled, flags}))
		state, known := map[string]decision{"": open, "0": drop, "1": sample, "true": sample, "false": drop}[strings.ToLower(sampled)]
		if flags == "1" {
			state = debug
		}
		want := known && state != open
		if trace+id+parent != "" {
			want = known && b3TraceID.MatchString(trace) && strings.Trim(trace, "0") != "" && b3SpanID.MatchString(id) && strings.Trim(id, "0") != "" &&
				(parent == "" || b3SpanID.MatchString(parent))
		}
		if ok != want {
			t.Fatalf("%q %q %q %q %q: valid %v, want %v", trace, id, parent, sampled, flags, ok, want)
		}
		if ok && c.decision != state {
			t.Fatalf("%q %q: %+v", sampled, flags, c)
		}
		if ok && trace != "" && !hasIDs(&c, trace, id) {
			t.Fatalf("%q %q: %+v", trace, id, c)
		}
		roundTrip(t, FormatB3Multi, c, ok)
	})
}

func FuzzUber(f *testing.F) {
	ids := traceHex + ":" + spanHex
	for _, s := range []string{"", ids + ":0:1", "1:1:1:1", "::::", ids + ":0:ff", traceHex + "%3A" + spanHex + "%3a0%3A1",
		"%3", "0:0:0:0", strings.Repeat("%3A", 99)} {
		f.Add([]byte(s))
	}
	shape := regexp.MustCompile(`^[0-9a-fA-F]{1,32}:[0-9a-fA-F]{1,16}:[0-9a-fA-F]{0,16}:[0-9a-fA-F]{1,2}$`)
	f.Fuzz(func(t *testing.T, v []byte) {
		var space [maxUberDecoded]byte
		c, ok := parseUber(v, &space)
		plain := strings.NewReplacer("%3A", ":", "%3a", ":").Replace(string(v))
		parts := strings.Split(plain, ":")
		want := shape.MatchString(plain) && strings.Trim(parts[0], "0") != "" && strings.Trim(parts[1], "0") != ""
		if ok != want {
			t.Fatalf("%q: valid %v, want %v", v, ok, want)
		}
		roundTrip(t, FormatJaeger, c, ok)
	})
}

// roundTrip writes what was read and reads it again.
func roundTrip(t *testing.T, f Format, c spanContext, ok bool) {
	t.Helper()
	if !ok {
		if c != (spanContext{}) {
			t.Fatalf("refused, yet says %+v", c)
		}
		return
	}
	if c.trace.IsZero() {
		if c.decision == open || !c.span.IsZero() {
			t.Fatalf("a decision alone that is none: %+v", c)
		}
		return
	}
	if c.decision == open {
		c.decision = sample
	}
	for _, parent := range []span.ID{{}, {1, 2, 3, 4, 5, 6, 7, 8}} {
		out := string(appendFormat(nil, f, &c, parent))
		want := c
		var got spanContext
		v := func(name string) string {
			if vs := values(out, name); len(vs) == 1 {
				return vs[0]
			}
			return ""
		}
		switch f {
		case FormatW3C:
			got, ok = parseTraceParent([]byte(v("traceparent")))
		case FormatB3:
			got, ok = parseB3([]byte(v("b3")))
		case FormatB3Multi:
			m := [5]string{v("x-b3-traceid"), v("x-b3-spanid"), v("x-b3-parentspanid"), v("x-b3-sampled"), v("x-b3-flags")}
			got, ok = parseB3Multi(multiOf(m))
		case FormatJaeger:
			got, ok = parseUber([]byte(v("uber-trace-id")), nil)
		}
		if !ok || got != want {
			t.Fatalf("%q reads as %+v (%v), want %+v", out, got, ok, want)
		}
	}
}

// FuzzBegin: whatever the values are, the head leaves with one line of each format at most, and nothing panics.
func FuzzBegin(f *testing.F) {
	f.Add("/a", w3cLine+b3Line, true)
	f.Add("/a;jsessionid=1/2?token=x&&=", "traceparent: \ntracestate: a=1\ntracestate: b\n", false)
	f.Add("/%2e%2e/"+strings.Repeat("a1B2", 300), multi+uberLine+"cookie: a;b=;=c;exp=1\n", true)
	f.Add("*", "x-request-id:\nX-REQUEST-ID: "+strings.Repeat("i", 200)+"\nuser-agent: kube-probe/1\n", false)
	f.Add("/x", "x-b3-:\n", true)
	f.Add("/2024-01-15/-/_/12.345/1.2.3.4/@/%40.", "authorization: AWS4-HMAC-SHA256 SignedHeaders=;;b3\nhost: [::1\n", true)
	c := Config{TagCookies: []string{"exp"}, NoInject: []string{"h", "::1"}, IgnoreAgents: []string{"kube*"}}
	s, err := NewShared(c)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, target, lines string, server bool) {
		if f := strings.Fields(target); len(f) != 1 || f[0] != target || strings.ContainsAny(target+lines, "\r\x00") {
			return
		}
		for line := range strings.SplitSeq(strings.TrimSuffix(lines, "\n"), "\n") {
			if name, _, ok := strings.Cut(line, ":"); !ok || !isToken(name) {
				return
			}
		}
		kind := span.Client
		if server {
			kind = span.Server
		}
		fx := &fixture{tb: t, t: s.NewTracer()}
		head := "GET " + target + " HTTP/1.1\n" + lines
		r := request(kind, head)
		a, out := fx.begin(r)
		fx.end(a)
		if strings.HasPrefix(out, string(r.Data)) {
			return // unedited
		}
		if out != string(r.Data) {
			checkOneOfEach(t, s, lines, out, &a.Rec)
		}
	})
}
