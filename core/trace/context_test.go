package trace

import (
	"slices"
	"strings"
	"testing"

	"github.com/spanwire/spanwire/core/span"
	"github.com/spanwire/spanwire/parsers"
)

const (
	otherHex = "11111111111111111111111111111111"
	w3cLine  = "traceparent: 00-" + traceHex + "-" + spanHex + "-01\n"
	b3Line   = "b3: 22222222222222222222222222222222-" + spanHex + "-1\n"
	uberLine = "uber-trace-id: 33333333333333333333333333333333:" + spanHex + ":0:1\n"
	multi    = "X-B3-TraceId: 44444444444444444444444444444444\nX-B3-SpanId: " + spanHex + "\nX-B3-Sampled: 1\n"
	get      = "GET /a HTTP/1.1\nHost: h\n"
)

// TestWhichFormatWins: an invalid one is skipped, the first valid one in the configured order wins, none valid = a new trace.
func TestWhichFormatWins(t *testing.T) {
	badW3C := "traceparent: 00-" + strings.ToUpper(traceHex) + "-" + spanHex + "-01\n"
	for _, c := range []struct {
		name, head  string
		propagators []string
		want        string // first digit of the trace id; "" = new trace
		sampled     bool
	}{
		{name: "one", head: w3cLine, want: "0", sampled: true},
		{name: "w3c before b3", head: b3Line + w3cLine, want: "0", sampled: true},
		{name: "order of the settings", head: b3Line + w3cLine, propagators: []string{"b3", "tracecontext"}, want: "2",
			sampled: true},
		{name: "jaeger first", head: w3cLine + uberLine + b3Line, propagators: []string{"jaeger", "b3"}, want: "3",
			sampled: true},
		{name: "not configured is not read", head: w3cLine, propagators: []string{"b3"}, want: "", sampled: true},
		{name: "invalid skipped", head: badW3C + b3Line, want: "2", sampled: true},
		{name: "all invalid", head: badW3C + "b3: nonsense\n", want: "", sampled: true},
		{name: "two lines of one format are invalid", head: w3cLine + w3cLine + multi, want: "4", sampled: true},
		{name: "two lines in different case", head: w3cLine + strings.Replace(w3cLine, "traceparent", "TraceParent", 1),
			want: "", sampled: true},
		{name: "two lines of a part", head: multi + "x-b3-sampled: 0\n" + uberLine, want: "3", sampled: true},
		{name: "single beats multi", head: multi + b3Line, want: "2", sampled: true},
		{name: "decision alone wins in its place", head: "b3: 0\n" + uberLine, want: "", sampled: false},
		{name: "decision alone behind", head: "b3: 0\n" + w3cLine, want: "0", sampled: true},
		{name: "debug alone", head: "b3: d\n", want: "", sampled: true},
		{name: "multi decision alone", head: "x-b3-sampled: false\n", want: "", sampled: false},
		{name: "empty line", head: "traceparent:\n" + uberLine, want: "3", sampled: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t, Config{Propagators: c.propagators})
			a, out := f.begin(request(span.Server, get+c.head))
			f.end(a)
			if c.want == "" {
				if a.Rec.Join != span.JoinRoot || !a.Rec.ParentID.IsZero() || a.Rec.Flags&span.RemoteParent != 0 {
					t.Fatalf("want a new trace, got parent %x, join %v", a.Rec.ParentID, a.Rec.Join)
				}
			} else if got := hexOf(a.Rec.TraceID[:])[:1]; got != c.want || a.Rec.Join != span.JoinHeader ||
				hexOf(a.Rec.ParentID[:]) != spanHex ||
				a.Rec.Flags&span.RemoteParent == 0 {
				t.Fatalf("trace %x, parent %x, join %v", a.Rec.TraceID, a.Rec.ParentID, a.Rec.Join)
			}
			if a.Rec.SpanID.IsZero() || hexOf(a.Rec.SpanID[:]) == spanHex {
				t.Fatalf("span id %x is not fresh", a.Rec.SpanID)
			}
			if a.Rec.IsSampled() != c.sampled {
				t.Fatalf("sampled %v, want %v", a.Rec.IsSampled(), c.sampled)
			}
			checkOneOfEach(t, f.t.s, c.head, out, &a.Rec)
		})
	}
}

// checkOneOfEach checks the rule for writing: the first configured format and every other configured one that was present, once
// each and all of them this span's; nothing of the others.
func checkOneOfEach(t *testing.T, s *Shared, in, out string, rec *span.Record) {
	t.Helper()
	parts := [NumFormats][]string{{"traceparent"}, {"b3"}, {"x-b3-traceid", "x-b3-spanid", "x-b3-sampled", "x-b3-parentspanid",
		"x-b3-flags"}, {"uber-trace-id"}}
	for f := range parts {
		name := parts[f][0]
		present := false
		for _, part := range parts[f] {
			present = present || len(values(strings.ReplaceAll(in, "\n", "\r\n"), part)) > 0
		}
		want := 0
		if Format(f) == s.order[0] || s.configured[f] && present {
			want = 1
		}
		got := values(out, name)
		if len(got) != want {
			t.Errorf("%s: %d lines %q, want %d in:\n%s", name, len(got), got, want, out)
			continue
		}
		traceID := hexOf(rec.TraceID[:])
		if Format(f) == FormatJaeger { // its 64-bit ids are written as such
			traceID = strings.TrimPrefix(traceID, "0000000000000000")
		}
		if want == 1 && (!strings.Contains(got[0], traceID) ||
			Format(f) != FormatB3Multi && !strings.Contains(got[0], hexOf(rec.SpanID[:]))) {
			t.Errorf("%s: %q is not this span's", name, got[0])
		}
	}
	for _, part := range parts[FormatB3Multi] {
		if got := values(out, part); len(got) > 1 || len(got) > len(values(out, "x-b3-traceid")) {
			t.Errorf("%s: %q", part, got)
		}
	}
}

func hexOf(b []byte) string {
	out := make([]byte, 0, 2*len(b))
	for _, c := range b {
		out = append(out, "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
	}
	return string(out)
}

// TestNeverTwoOfOneFormat goes through all combinations of lines that are absent, valid, invalid and doubled, and several orders.
func TestNeverTwoOfOneFormat(t *testing.T) {
	choices := [NumFormats][]string{
		{"", w3cLine, "Traceparent: x\n", w3cLine + w3cLine},
		{"", b3Line, "B3: 0\n", b3Line + "b3: x\n"},
		{"", multi, "X-B3-Sampled: 1\n", multi + multi},
		{"", uberLine, "Uber-Trace-Id: 0\n", uberLine + uberLine},
	}
	orders := [][]string{nil, {"b3"}, {"jaeger", "tracecontext"}, {"b3multi", "b3"}}
	for n := range 256 {
		var head string
		for f := range choices {
			head += choices[f][n>>(2*f)&3]
		}
		for _, order := range orders {
			for _, kind := range []span.Kind{span.Server, span.Client} {
				f := newFixture(t, Config{Propagators: order})
				a, out := f.begin(request(kind, get+head))
				f.end(a)
				checkOneOfEach(t, f.t.s, head, out, &a.Rec)
			}
		}
	}
}

// TestOtherBytesStay: what is left of a head without our lines is what came in without them.
func TestOtherBytesStay(t *testing.T) {
	in := "GET /a HTTP/1.1\nhOsT: h\nX-REQUEST-ID: Id\nAccept:  */* \n" + w3cLine +
		"X-Empty:\ntracestate: a=1\nuberctx-user: bob\njaeger-debug-id: x\n"
	f := newFixture(t, Config{})
	_, out := f.begin(request(span.Server, in))
	want := strings.ReplaceAll(strings.Replace(in, w3cLine, "", 1), "\n", "\r\n")
	if !strings.HasPrefix(out, want) {
		t.Fatalf("got\n%s\nwant it to begin with\n%s", out, want)
	}
	if rest := out[len(want):]; strings.Count(rest, "\r\n") != 2 || !strings.HasPrefix(rest, "traceparent: ") {
		t.Fatalf("inserted %q", rest)
	}
}

func TestTraceStateGoesWithItsTrace(t *testing.T) {
	state := "tracestate: rojo=00f067aa0ba902b7,congo=t61rcWkgMzE\n"
	for _, c := range []struct {
		name, head, order string
		lines             []string // of tracestate on the way out
		text              string
	}{
		{"kept", w3cLine + state, "", []string{"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"},
			"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"},
		{"several lines are left alone", "tracestate: a=1\n" + w3cLine + "Tracestate: b=2 , c=3\n", "", []string{"a=1",
			"b=2 , c=3"}, "a=1,b=2 , c=3"},
		{"dropped without a parent", state, "", nil, ""},
		{"dropped when invalid", "traceparent: 00-x\n" + state, "", nil, ""},
		{"dropped when doubled", w3cLine + w3cLine + state, "", nil, ""},
		{"dropped when all lines go", "traceparent: 00-x\ntracestate: a=1\ntracestate: b=2\n", "", nil, ""},
		{"dropped when another trace goes on", b3Line + w3cLine + state, "b3", nil, ""},
		{"kept when the same trace goes on", strings.ReplaceAll(b3Line, "22222222222222222222222222222222", traceHex) +
			w3cLine + state, "b3",
			[]string{"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"}, "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"},
		{"dropped when a decision restarts the trace", "b3: 1\n" + w3cLine + state, "b3", nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var order []string
			if c.order != "" {
				order = []string{c.order, "tracecontext"}
			}
			f := newFixture(t, Config{Propagators: order})
			a, out := f.begin(request(span.Server, get+c.head))
			f.end(a)
			if got := values(out, "tracestate"); !slices.Equal(got, c.lines) {
				t.Errorf("lines %q, want %q", got, c.lines)
			}
			if got := string(a.Rec.Text(span.TraceState)); got != c.text {
				t.Errorf("text %q, want %q", got, c.text)
			}
		})
	}
}

func TestTraceStateIsCutAtMembers(t *testing.T) {
	member := "k=" + strings.Repeat("v", 98) // 100 bytes
	f := newFixture(t, Config{})
	for in, want := range map[string]string{
		member + "," + member + "," + member:             member + "," + member,
		member + "," + member + "," + member[:54]:        member + "," + member + "," + member[:54], // 256 bytes fit
		member + "," + member + "," + member[:55]:        member + "," + member,
		"k=" + strings.Repeat("v", 300):                  "",
		member + "\ntracestate: " + member + "," + "a=1": member + "," + member + ",a=1",
	} {
		a, _ := f.begin(request(span.Server, get+w3cLine+"tracestate: "+in+"\n"))
		if got := string(a.Rec.Text(span.TraceState)); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestFlagsTravel(t *testing.T) {
	for _, c := range []struct {
		name, head string
		want       []string // lines on the way out contain these
		flags      span.Flags
	}{
		{"new trace is random", "", []string{"-03\r\n"}, span.Sampled | span.Random},
		{"random is kept", "traceparent: 00-" + traceHex + "-" + spanHex + "-02\n", []string{"-02\r\n"},
			span.Random | span.RemoteParent},
		{"random is not made up", w3cLine, []string{"-01\r\n"}, span.Sampled | span.RemoteParent},
		{"other flags are cleared", "traceparent: 00-" + traceHex + "-" + spanHex + "-fd\n", []string{"-01\r\n"},
			span.Sampled | span.RemoteParent},
		{"debug goes on in b3", "b3: " + traceHex + "-" + spanHex + "-d\n", []string{"-01\r\n", "-d-" + spanHex + "\r\n"},
			span.Sampled | span.Debug | span.RemoteParent},
		{"debug goes on in jaeger", "uber-trace-id: " + traceHex + ":" + spanHex + ":0:3\n", []string{"-01\r\n", ":" + spanHex +
			":3\r\n"},
			span.Sampled | span.Debug | span.RemoteParent},
		{"debug from jaeger to b3", "uber-trace-id: " + traceHex + ":" + spanHex + ":0:2\nb3: x\n", []string{"-01\r\n", "-d-" +
			spanHex + "\r\n", ":3\r\n"},
			span.Sampled | span.Debug | span.RemoteParent},
		{"debug id forces a sample", "jaeger-debug-id: me\n", []string{"-03\r\n"}, span.Sampled | span.Debug | span.Random},
		{"debug id forces a sample of an unsampled trace", "jaeger-debug-id: me\nuber-trace-id: " + traceHex + ":" + spanHex +
			":0:0\n",
			[]string{"-01\r\n", ":3\r\n"}, span.Sampled | span.Debug | span.RemoteParent},
		{"empty debug id does not", "jaeger-debug-id:\nb3: 0\n", []string{"-02\r\n", "-0\r\n"}, span.Random},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t, Config{})
			a, out := f.begin(request(span.Server, get+c.head))
			for _, w := range c.want {
				if !strings.Contains(out, w) {
					t.Errorf("no %q in\n%s", w, out)
				}
			}
			if a.Rec.Flags != c.flags {
				t.Errorf("flags %b, want %b", a.Rec.Flags, c.flags)
			}
			if strings.Contains(c.head, "debug-id: me") && (a.Rec.NumTags() != 1 || len(values(out, "jaeger-debug-id")) != 1) {
				t.Errorf("the debug id is no tag, or did not go on")
			}
		})
	}
}

func TestRequestIDs(t *testing.T) {
	for _, c := range []struct {
		name, head string
		want       []string // nil: one UUID
	}{
		{"made when absent", "", nil},
		{"made when empty", "X-Request-Id:\n", nil},
		{"made when all are empty", "X-Request-Id:\nx-request-id: \n", nil},
		{"kept", "x-request-ID: An Id/+=é\n", []string{"An Id/+=é"}},
		{"kept when several", "X-Request-Id: a\nX-Request-Id: b\n", []string{"a", "b"}},
		{"kept beside an empty one", "X-Request-Id:\nX-Request-Id: b\n", []string{"", "b"}},
		{"kept when long", "X-Request-Id: " + strings.Repeat("x", 5000) + "\n", []string{strings.Repeat("x", 5000)}},
	} {
		for _, kind := range []span.Kind{span.Server, span.Client} {
			f := newFixture(t, Config{})
			a, out := f.begin(request(kind, get+c.head))
			got := values(out, "X-Request-Id")
			if c.want != nil {
				if !slices.Equal(got, c.want) || f.t.Stats.IDsMade != 0 {
					t.Errorf("%s: %q, want %q", c.name, got, c.want)
				}
				continue
			}
			if len(got) != 1 || !isUUID([]byte(got[0])) || string(a.Rec.Text(span.RequestID)) != got[0] ||
				f.t.Stats.IDsMade != 1 {
				t.Errorf("%s: %q, recorded %q", c.name, got, a.Rec.Text(span.RequestID))
			}
		}
	}
	f := newFixture(t, Config{RequestIDHeader: "Correlation_ID"})
	if _, out := f.begin(request(span.Server, get)); !strings.Contains(out, "\r\nCorrelation_ID: ") || len(values(out,
		"X-Request-Id")) != 0 {
		t.Errorf("another name of the header is not used:\n%s", out)
	}
}

func TestXSource(t *testing.T) {
	f := newFixture(t, Config{XSourceHeader: "X-Source", XSourceValue: "netra"})
	_, out := f.begin(request(span.Client, get+"x-source: a\nX-SOURCE: b\n"))
	if got := values(out, "X-Source"); !slices.Equal(got, []string{"netra"}) {
		t.Errorf("outbound %q", got)
	}
	_, out = f.begin(request(span.Server, get+"x-source: a\n"))
	if got := values(out, "X-Source"); !slices.Equal(got, []string{"a"}) {
		t.Errorf("inbound %q", got)
	}
	f = newFixture(t, Config{XSourceHeader: "X-Source"})
	_, out = f.begin(request(span.Client, get+"x-source: a\n"))
	if got := values(out, "X-Source"); !slices.Equal(got, []string{"a"}) {
		t.Errorf("without a value %q", got)
	}
}

func TestHeadsThatAreNotEdited(t *testing.T) {
	sign := func(names string) string {
		return "Authorization: AWS4-HMAC-SHA256 Credential=A/20250101/r/s3/aws4_request, SignedHeaders=" + names +
			", Signature=00\n"
	}
	c := Config{NoInject: []string{"Pay.example", "*.bank.example", "10.0.0.0/8", "2001:db8::1", "192.0.2.7"},
		XSourceHeader: "X-Source", XSourceValue: "v"}
	for _, v := range []struct {
		name, head string
		kind       span.Kind
		server     string // or the query
		want       parsers.Reason
	}{
		{"host", "Host: pay.EXAMPLE\n", span.Client, "", parsers.ReasonNoInject},
		{"host with port", "Host: pay.example:443\n", span.Client, "", parsers.ReasonNoInject},
		{"rooted host", "Host: pay.example.:443\n", span.Client, "", parsers.ReasonNoInject},
		{"user-info", "Host: u:p@pay.example\n", span.Client, "", parsers.ReasonNoInject},
		{"another host", "Host: xpay.example\n", span.Client, "", parsers.ReasonNone},
		{"below the host", "Host: a.pay.example\n", span.Client, "", parsers.ReasonNone},
		{"below a domain", "Host: a.b.bank.example\n", span.Client, "", parsers.ReasonNoInject},
		{"the domain itself", "Host: bank.example\n", span.Client, "", parsers.ReasonNone},
		{"inbound", "Host: pay.example\n", span.Server, "10.1.1.1:80", parsers.ReasonNone},
		{"address", "Host: x\n", span.Client, "10.1.2.3:80", parsers.ReasonNoInject},
		{"address in the authority", "Host: 10.9.9.9:8080\n", span.Client, "", parsers.ReasonNoInject},
		{"single address", "Host: 192.0.2.7\n", span.Client, "", parsers.ReasonNoInject},
		{"next address", "Host: 192.0.2.8\n", span.Client, "192.0.2.8:1", parsers.ReasonNone},
		{"IPv6 in the authority", "Host: [2001:db8:0::1]:80\n", span.Client, "", parsers.ReasonNoInject},
		{"IPv6 mapped", "Host: x\n", span.Client, "[::ffff:10.0.0.1]:80", parsers.ReasonNoInject},
		{"signed without ours", "Host: x\n" + sign("host;x-amz-date"), span.Client, "", parsers.ReasonNone},
		{"signed with the request id", "Host: x\n" + sign("host;x-request-id"), span.Client, "", parsers.ReasonSigned},
		{"signed with traceparent", "Host: x\n" + sign("host;traceparent;x-amz-date"), span.Server, "", parsers.ReasonSigned},
		{"signed with X-Source", "Host: x\n" + sign("x-source"), span.Client, "", parsers.ReasonSigned},
		{"presigned without ours", "Host: x\n", span.Client,
			"?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-SignedHeaders=host%3Bx-amz-date&a=b3", parsers.ReasonNone},
		{"presigned with ours", "Host: x\n", span.Client, "?X-Amz-SignedHeaders=host%3Bx-request-id&X-Amz-Date=1",
			parsers.ReasonSigned},
		{"presigned with ours at the end", "Host: x\n", span.Client, "?X-Amz-Date=1&X-Amz-SignedHeaders=b3",
			parsers.ReasonSigned},
		{"not AWS", "Host: x\nAuthorization: Bearer SignedHeaders=b3\n", span.Client, "", parsers.ReasonNone},
	} {
		t.Run(v.name, func(t *testing.T) {
			f := newFixture(t, c)
			query := ""
			if strings.HasPrefix(v.server, "?") {
				query, v.server = v.server, ""
			}
			r := request(v.kind, "GET /a"+query+" HTTP/1.1\n"+v.head+b3Line)
			if v.server != "" {
				r.Server = endpoint(v.server)
			}
			a, e := new(Active), new(Edit)
			f.t.Begin(a, r, e)
			if e.Reason != v.want {
				t.Fatalf("reason %v, want %v", e.Reason, v.want)
			}
			if (len(e.Insert) > 0 || len(e.Delete) > 0) != (v.want == parsers.ReasonNone) {
				t.Fatalf("edit: %q, %v", e.Insert, e.Delete)
			}
			if !a.Rec.IsSampled() || a.Rec.Join != span.JoinHeader || len(a.Rec.Text(span.Name)) == 0 {
				t.Fatal("no span")
			}
			f.end(a)
		})
	}
}

func TestUneditedHeadsKeepTheirReason(t *testing.T) {
	f := newFixture(t, Config{NoInject: []string{"h"}})
	r := request(span.Client, get+w3cLine)
	r.Unedited = parsers.ReasonSlowHead
	a, e := new(Active), new(Edit)
	f.t.Begin(a, r, e)
	if e.Reason != parsers.ReasonSlowHead || len(e.Insert)+len(e.Delete) > 0 {
		t.Errorf("reason %v, edit %q %v", e.Reason, e.Insert, e.Delete)
	}
	if a.Rec.Join != span.JoinHeader || len(a.Rec.Text(span.RequestID)) != 0 {
		t.Error("the context is not read, or an id was made up that is not sent")
	}
}

func TestProtocolsWithoutHeaders(t *testing.T) {
	f := newFixture(t, Config{})
	r := &Request{Data: []byte("SET k v"), Head: &parsers.Head{Operation: parsers.Range{Lo: 0, Hi: 3}}, Protocol: "redis",
		Kind: span.Client, Unedited: parsers.ReasonNoHeaders, Mono: 5}
	a, e := new(Active), new(Edit)
	f.t.Begin(a, r, e)
	f.t.End(a, 12)
	if got := string(a.Rec.Text(span.Name)); got != "SET" || !a.Rec.IsSampled() || a.Rec.Duration != 7 ||
		e.Reason != parsers.ReasonNoHeaders {
		t.Errorf("name %q, flags %b, duration %d, reason %v", got, a.Rec.Flags, a.Rec.Duration, e.Reason)
	}
}

func TestConnectIsASpanOfItsOwn(t *testing.T) {
	f := newFixture(t, Config{})
	f.begin(request(span.Server, get+"jaeger-debug-id: x\n"+w3cLine)) // leaves nothing behind
	a := &Active{Ignored: true}
	f.t.Connect(a, &Request{Kind: span.Client, Server: endpoint("192.0.2.1:80"), Wall: 7, Mono: 9})
	f.t.End(a, 19)
	rec := &a.Rec
	if string(rec.Text(span.Name)) != "connect" || rec.Kind != span.Client || rec.Flags != span.Sampled|span.Random ||
		rec.Start != 7 ||
		rec.Duration != 10 || rec.TraceID.IsZero() || rec.SpanID.IsZero() || rec.Server != endpoint("192.0.2.1:80") || a.Ignored {
		t.Errorf("%+v", rec)
	}
}

func TestIgnoredRequests(t *testing.T) {
	c := Config{IgnorePaths: []string{"/healthz", "/static/*"}, IgnoreAgents: []string{"kube-probe/*"}}
	id := "X-Request-Id: r1\n"
	out := request(span.Client, "GET /next HTTP/1.1\nHost: n\n"+id)

	t.Run("with a context its calls are its parent's", func(t *testing.T) {
		f := newFixture(t, c)
		in, head := f.begin(request(span.Server, "GET /healthz HTTP/1.1\n"+id+w3cLine))
		if !in.Ignored || in.Rec.IsSampled() {
			t.Fatal("not ignored")
		}
		if got := values(head, "traceparent"); !slices.Equal(got, []string{"00-" + traceHex + "-" + spanHex + "-01"}) {
			t.Fatalf("the application gets %q", got)
		}
		call, _ := f.begin(out)
		if hexOf(call.Rec.TraceID[:]) != traceHex || hexOf(call.Rec.ParentID[:]) != spanHex || !call.Rec.IsSampled() {
			t.Fatalf("the call has trace %x, parent %x", call.Rec.TraceID, call.Rec.ParentID)
		}
	})
	t.Run("with an unsampled context", func(t *testing.T) {
		f := newFixture(t, c)
		f.begin(request(span.Server, "GET /static/a.css HTTP/1.1\n"+id+strings.Replace(w3cLine, "-01", "-00", 1)))
		if call, _ := f.begin(out); hexOf(call.Rec.ParentID[:]) != spanHex || call.Rec.IsSampled() {
			t.Fatal("the call does not follow the decision")
		}
	})
	t.Run("without a context nothing below is sampled", func(t *testing.T) {
		f := newFixture(t, c)
		in, head := f.begin(request(span.Server, "GET /x HTTP/1.1\nUser-Agent: kube-probe/1.33\n"+id))
		if got := values(head, "traceparent"); !in.Ignored || len(got) != 1 || !strings.HasSuffix(got[0], "-02") {
			t.Fatalf("the application gets %q", got)
		}
		call, callHead := f.begin(out)
		if call.Rec.TraceID != in.Rec.TraceID || call.Rec.IsSampled() || !strings.HasSuffix(values(callHead, "traceparent")[0],
			"-02") {
			t.Fatal("the call is sampled, or of another trace")
		}
	})
	if f := newFixture(t, c); true {
		if a, _ := f.begin(request(span.Server, "GET /healthz/x HTTP/1.1\n"+id)); a.Ignored || !a.Rec.IsSampled() {
			t.Error("an exact pattern took a longer path")
		}
	}
}
