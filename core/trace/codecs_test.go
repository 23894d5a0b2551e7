package trace

import (
	"encoding/hex"
	"testing"

	"github.com/spanwire/spanwire/core/span"
)

const (
	traceHex = "0af7651916cd43dd8448eb211c80319c"
	spanHex  = "b7ad6b7169203331"
	padHex   = "00000000000000008448eb211c80319c"
)

// vector is one header value and what it says; trace "" = a decision alone, want "invalid" = refused.
type vector struct {
	name, in    string
	trace, span string
	decision    decision
	random      bool
	invalid     bool
}

func (v *vector) check(t *testing.T, c spanContext, ok bool) {
	t.Helper()
	if ok == v.invalid {
		t.Fatalf("%s: %q: valid = %v", v.name, v.in, ok)
	}
	if v.invalid {
		if c != (spanContext{}) {
			t.Fatalf("%s: %q: refused, yet says %+v", v.name, v.in, c)
		}
		return
	}
	want := spanContext{decision: v.decision, random: v.random}
	if v.trace != "" {
		hex.Decode(want.trace[:], []byte(v.trace))
		hex.Decode(want.span[:], []byte(v.span))
	}
	if c != want {
		t.Errorf("%s: %q: got %+v, want %+v", v.name, v.in, c, want)
	}
}

func TestTraceParentReads(t *testing.T) {
	ids := traceHex + "-" + spanHex
	for _, v := range []vector{
		{name: "sampled", in: "00-" + ids + "-01", trace: traceHex, span: spanHex, decision: sample},
		{name: "not sampled", in: "00-" + ids + "-00", trace: traceHex, span: spanHex, decision: drop},
		{name: "random", in: "00-" + ids + "-03", trace: traceHex, span: spanHex, decision: sample, random: true},
		{name: "unknown flags", in: "00-" + ids + "-fe", trace: traceHex, span: spanHex, decision: drop, random: true},
		{name: "higher version", in: "cc-" + ids + "-01", trace: traceHex, span: spanHex, decision: sample},
		{name: "higher version, longer", in: "01-" + ids + "-01-what-the-future-holds", trace: traceHex, span: spanHex,
			decision: sample},
		{name: "higher version, longer without dash", in: "01-" + ids + "-01.extra", invalid: true},
		{name: "higher version, dash only", in: "01-" + ids + "-01-", trace: traceHex, span: spanHex, decision: sample},
		{name: "version 00, longer", in: "00-" + ids + "-01-extra", invalid: true},
		{name: "version ff", in: "ff-" + ids + "-01", invalid: true},
		{name: "version in upper case", in: "0A-" + ids + "-01", invalid: true},
		{name: "version no hex", in: "0g-" + ids + "-01", invalid: true},
		{name: "zero trace", in: "00-00000000000000000000000000000000-" + spanHex + "-01", invalid: true},
		{name: "zero span", in: "00-" + traceHex + "-0000000000000000-01", invalid: true},
		{name: "upper case trace", in: "00-0AF7651916CD43DD8448EB211C80319C-" + spanHex + "-01", invalid: true},
		{name: "upper case span", in: "00-" + traceHex + "-B7AD6B7169203331-01", invalid: true},
		{name: "upper case flags", in: "00-" + ids + "-0A", invalid: true},
		{name: "flags no hex", in: "00-" + ids + "-0x", invalid: true},
		{name: "flags of one digit", in: "00-" + ids + "-1", invalid: true},
		{name: "64-bit trace", in: "00-8448eb211c80319c-" + spanHex + "-01", invalid: true},
		{name: "padded 64-bit trace", in: "00-" + padHex + "-" + spanHex + "-01", trace: padHex, span: spanHex, decision: sample},
		{name: "underscores", in: "00_" + traceHex + "_" + spanHex + "_01", invalid: true},
		{name: "two values in one line", in: "00-" + ids + "-01,00-" + ids + "-01", invalid: true},
		{name: "empty", in: "", invalid: true},
		{name: "cut", in: "00-" + ids, invalid: true},
	} {
		c, ok := parseTraceParent([]byte(v.in))
		v.check(t, c, ok)
	}
}

func TestB3SingleReads(t *testing.T) {
	ids := traceHex + "-" + spanHex
	for _, v := range []vector{
		{name: "ids alone", in: ids, trace: traceHex, span: spanHex, decision: open},
		{name: "sampled", in: ids + "-1", trace: traceHex, span: spanHex, decision: sample},
		{name: "not sampled", in: ids + "-0", trace: traceHex, span: spanHex, decision: drop},
		{name: "debug", in: ids + "-d", trace: traceHex, span: spanHex, decision: debug},
		{name: "parent", in: ids + "-1-05e3ac9a4f6e3b90", trace: traceHex, span: spanHex, decision: sample},
		{name: "64-bit trace", in: "8448eb211c80319c-" + spanHex + "-1", trace: padHex, span: spanHex, decision: sample},
		{name: "64-bit trace, ids alone", in: "8448eb211c80319c-" + spanHex, trace: padHex, span: spanHex, decision: open},
		{name: "64-bit trace, parent", in: "8448eb211c80319c-" + spanHex + "-d-05e3ac9a4f6e3b90", trace: padHex, span: spanHex,
			decision: debug},
		{name: "upper case", in: "0AF7651916CD43DD8448EB211C80319C-B7AD6B7169203331-1", trace: traceHex, span: spanHex,
			decision: sample},
		{name: "0 alone", in: "0", decision: drop},
		{name: "1 alone", in: "1", decision: sample},
		{name: "d alone", in: "d", decision: debug},
		{name: "another letter alone", in: "x", invalid: true},
		{name: "another state", in: ids + "-2", invalid: true},
		{name: "state missing behind dash", in: ids + "-", invalid: true},
		{name: "parent without state", in: ids + "-05e3ac9a4f6e3b90", invalid: true},
		{name: "parent too short", in: ids + "-1-05e3ac9a", invalid: true},
		{name: "parent no hex", in: ids + "-1-05e3ac9a4f6e3bxx", invalid: true},
		{name: "parent without dash", in: ids + "-1x05e3ac9a4f6e3b90", invalid: true},
		{name: "more behind the parent", in: ids + "-1-05e3ac9a4f6e3b90-1", invalid: true},
		{name: "zero trace", in: "00000000000000000000000000000000-" + spanHex + "-1", invalid: true},
		{name: "zero 64-bit trace", in: "0000000000000000-" + spanHex + "-1", invalid: true},
		{name: "zero span", in: traceHex + "-0000000000000000-1", invalid: true},
		{name: "trace alone", in: traceHex, invalid: true},
		{name: "24 digits", in: "16cd43dd8448eb211c80319c-" + spanHex + "-1", invalid: true},
		{name: "33 hexadecimal digits", in: traceHex + "a", invalid: true},
		{name: "48 hexadecimal digits", in: traceHex + spanHex, invalid: true},
		{name: "empty", in: "", invalid: true},
	} {
		c, ok := parseB3([]byte(v.in))
		v.check(t, c, ok)
	}
}

func TestB3MultiReads(t *testing.T) {
	for _, v := range []struct {
		vector
		m [5]string // trace, span, parent, sampled, flags
	}{
		{vector{name: "sampled", trace: traceHex, span: spanHex, decision: sample}, [5]string{traceHex, spanHex, "", "1", ""}},
		{vector{name: "true", trace: traceHex, span: spanHex, decision: sample}, [5]string{traceHex, spanHex, "", "true", ""}},
		{vector{name: "False", trace: traceHex, span: spanHex, decision: drop}, [5]string{traceHex, spanHex, "", "False", ""}},
		{vector{name: "not sampled", trace: traceHex, span: spanHex, decision: drop}, [5]string{traceHex, spanHex, "", "0", "0"}},
		{vector{name: "debug beats sampled", trace: traceHex, span: spanHex, decision: debug}, [5]string{traceHex, spanHex, "",
			"0", "1"}},
		{vector{name: "no state", trace: traceHex, span: spanHex}, [5]string{traceHex, spanHex, "05e3ac9a4f6e3b90", "", ""}},
		{vector{name: "64-bit trace", trace: padHex, span: spanHex, decision: sample}, [5]string{"8448eb211c80319c", spanHex,
			"", "1", ""}},
		{vector{name: "upper case", trace: traceHex, span: spanHex}, [5]string{"0AF7651916CD43DD8448EB211C80319C",
			"B7AD6B7169203331", "", "", ""}},
		{vector{name: "sampled alone", decision: sample}, [5]string{"", "", "", "1", ""}},
		{vector{name: "false alone", decision: drop}, [5]string{"", "", "", "false", ""}},
		{vector{name: "debug alone", decision: debug}, [5]string{"", "", "", "", "1"}},
		{vector{name: "nothing said", invalid: true}, [5]string{"", "", "", "", "0"}},
		{vector{name: "trace alone", invalid: true}, [5]string{traceHex, "", "", "1", ""}},
		{vector{name: "span alone", invalid: true}, [5]string{"", spanHex, "", "1", ""}},
		{vector{name: "parent alone", invalid: true}, [5]string{"", "", spanHex, "1", ""}},
		{vector{name: "bad parent", invalid: true}, [5]string{traceHex, spanHex, "x", "1", ""}},
		{vector{name: "bad state", invalid: true}, [5]string{traceHex, spanHex, "", "yes", ""}},
		{vector{name: "short span", invalid: true}, [5]string{traceHex, "b7ad6b71", "", "1", ""}},
		{vector{name: "zero span", invalid: true}, [5]string{traceHex, "0000000000000000", "", "1", ""}},
		{vector{name: "zero trace", invalid: true}, [5]string{"0000000000000000", spanHex, "", "1", ""}},
	} {
		c, ok := parseB3Multi(multiOf(v.m))
		v.check(t, c, ok)
	}
}

func multiOf(m [5]string) b3Multi {
	return b3Multi{trace: []byte(m[0]), span: []byte(m[1]), parent: []byte(m[2]), sampled: []byte(m[3]), flags: []byte(m[4])}
}

func TestUberReads(t *testing.T) {
	ids := traceHex + ":" + spanHex
	for _, v := range []vector{
		{name: "sampled", in: ids + ":0:1", trace: traceHex, span: spanHex, decision: sample},
		{name: "not sampled", in: ids + ":0:0", trace: traceHex, span: spanHex, decision: drop},
		{name: "debug", in: ids + ":0:3", trace: traceHex, span: spanHex, decision: debug},
		{name: "debug bit alone", in: ids + ":0:2", trace: traceHex, span: spanHex, decision: debug},
		{name: "firehose bit", in: ids + ":0:9", trace: traceHex, span: spanHex, decision: sample},
		{name: "two digits of flags", in: ids + ":0:01", trace: traceHex, span: spanHex, decision: sample},
		{name: "zeros trimmed", in: "8448eb211c80319c:331:0:1", trace: padHex, span: "0000000000000331", decision: sample},
		{name: "65 bits", in: "18448eb211c80319c:1:0:1", trace: "00000000000000018448eb211c80319c", span: "0000000000000001",
			decision: sample},
		{name: "parent", in: ids + ":5e3ac9a4f6e3b90:1", trace: traceHex, span: spanHex, decision: sample},
		{name: "no parent", in: ids + "::1", trace: traceHex, span: spanHex, decision: sample},
		{name: "upper case", in: "0AF7651916CD43DD8448EB211C80319C:B7AD6B7169203331:0:1", trace: traceHex, span: spanHex,
			decision: sample},
		{name: "escaped", in: traceHex + "%3A" + spanHex + "%3a0%3A1", trace: traceHex, span: spanHex, decision: sample},
		{name: "another escape", in: traceHex + "%3B" + spanHex + "%3a0%3A1", invalid: true},
		{name: "cut escape", in: ids + ":0:1%3", invalid: true},
		{name: "zero trace", in: "0:" + spanHex + ":0:1", invalid: true},
		{name: "zero span", in: traceHex + ":0:0:1", invalid: true},
		{name: "33 digits", in: "0" + ids + ":0:1", invalid: true},
		{name: "span of 17 digits", in: traceHex + ":0" + spanHex + ":0:1", invalid: true},
		{name: "bad parent", in: ids + ":x:1", invalid: true},
		{name: "no flags", in: ids + ":0:", invalid: true},
		{name: "flags of three digits", in: ids + ":0:001", invalid: true},
		{name: "flags no hex", in: ids + ":0:y", invalid: true},
		{name: "three parts", in: ids + ":1", invalid: true},
		{name: "five parts", in: ids + ":0:1:1", invalid: true},
		{name: "empty trace", in: ":" + spanHex + ":0:1", invalid: true},
		{name: "empty", in: "", invalid: true},
	} {
		var space [maxUberDecoded]byte
		c, ok := parseUber([]byte(v.in), &space)
		v.check(t, c, ok)
	}
}

func TestWrites(t *testing.T) {
	var c spanContext
	hex.Decode(c.trace[:], []byte(traceHex))
	hex.Decode(c.span[:], []byte(spanHex))
	short := c
	clear(short.trace[:8])
	parent := span.ID{0x05, 0xe3, 0xac, 0x9a, 0x4f, 0x6e, 0x3b, 0x90}
	with := func(c spanContext, d decision, random bool) *spanContext {
		c.decision, c.random = d, random
		return &c
	}
	for _, v := range []struct {
		f      Format
		c      *spanContext
		parent span.ID
		want   string
	}{
		{FormatW3C, with(c, sample, false), parent, "traceparent: 00-" + traceHex + "-" + spanHex + "-01\r\n"},
		{FormatW3C, with(c, debug, true), parent, "traceparent: 00-" + traceHex + "-" + spanHex + "-03\r\n"},
		{FormatW3C, with(c, drop, true), parent, "traceparent: 00-" + traceHex + "-" + spanHex + "-02\r\n"},
		{FormatW3C, with(short, drop, false), parent, "traceparent: 00-" + padHex + "-" + spanHex + "-00\r\n"},
		{FormatB3, with(c, sample, false), parent, "b3: " + traceHex + "-" + spanHex + "-1-05e3ac9a4f6e3b90\r\n"},
		{FormatB3, with(c, drop, false), span.ID{}, "b3: " + traceHex + "-" + spanHex + "-0\r\n"},
		{FormatB3, with(short, debug, false), span.ID{}, "b3: " + padHex + "-" + spanHex + "-d\r\n"},
		{FormatB3Multi, with(c, sample, false), parent,
			"x-b3-traceid: " + traceHex + "\r\nx-b3-spanid: " + spanHex +
				"\r\nx-b3-parentspanid: 05e3ac9a4f6e3b90\r\nx-b3-sampled: 1\r\n"},
		{FormatB3Multi, with(c, drop, false), span.ID{}, "x-b3-traceid: " + traceHex + "\r\nx-b3-spanid: " + spanHex +
			"\r\nx-b3-sampled: 0\r\n"},
		{FormatB3Multi, with(short, debug, false), span.ID{}, "x-b3-traceid: " + padHex + "\r\nx-b3-spanid: " + spanHex +
			"\r\nx-b3-flags: 1\r\n"},
		{FormatJaeger, with(c, sample, false), parent, "uber-trace-id: " + traceHex + ":" + spanHex + ":05e3ac9a4f6e3b90:1\r\n"},
		{FormatJaeger, with(short, drop, false), span.ID{}, "uber-trace-id: 8448eb211c80319c:" + spanHex + ":0:0\r\n"},
		{FormatJaeger, with(c, debug, false), span.ID{}, "uber-trace-id: " + traceHex + ":" + spanHex + ":0:3\r\n"},
	} {
		if got := string(appendFormat([]byte("x"), v.f, v.c, v.parent)); got != "x"+v.want {
			t.Errorf("%v: got %q, want %q", v.f, got, v.want)
		}
	}
}

func TestIDs(t *testing.T) {
	ids := newIDSource()
	seen := map[string]bool{}
	for range 10000 {
		var u [uuidBytes]byte
		ids.uuid(&u)
		if !isUUID(u[:]) || u[14] != '4' || u[19] != '8' && u[19] != '9' && u[19] != 'a' && u[19] != 'b' {
			t.Fatalf("%s is no UUID of version 4", u)
		}
		tr, sp := ids.trace(), ids.span()
		for _, s := range []string{string(u[:]), string(tr[:]), string(sp[:])} {
			if seen[s] {
				t.Fatalf("%x was made twice", s)
			}
			seen[s] = true
		}
	}
	var zeros, ones [16]byte // bits that were never one, never zero
	for i := range zeros {
		zeros[i], ones[i] = 0, 0xff
	}
	for range 1000 {
		tr := ids.trace()
		for i := range tr {
			zeros[i] |= tr[i]
			ones[i] &= tr[i]
		}
	}
	for i := range zeros {
		if zeros[i] != 0xff || ones[i] != 0 {
			t.Fatalf("byte %d of trace ids is not random", i)
		}
	}
}
