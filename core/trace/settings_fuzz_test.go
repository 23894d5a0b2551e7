package trace

import (
	"bufio"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/spanwire/spanwire/core/span"
)

// matches is what a pattern means, by a table of all prefixes of both.
func matches(pattern, text string) bool {
	row := make([]bool, len(text)+1) // row[i]: the pattern so far matches text[:i]
	row[0] = true
	for _, p := range []byte(pattern) {
		next := make([]bool, len(text)+1)
		next[0] = p == '*' && row[0]
		for i := range len(text) {
			next[i+1] = p == '*' && (row[i+1] || next[i]) || p != '*' && row[i] && text[i] == p
		}
		row = next
	}
	return row[len(text)]
}

// FuzzGlob: a pattern of --ignore-path, --ignore-agent and --sampler-rule means what the table of prefixes says.
func FuzzGlob(f *testing.F) {
	for _, s := range [][2]string{{"/a*b", "/ab"}, {"*", ""}, {"a**a", "a"}, {"*a*b*", "xxaxxb"}, {"/health", "/health"}, {"a*aa", "aa"}, {"", ""}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if len(pattern) > 64 || len(text) > 256 {
			return
		}
		if got, want := parseGlobs([]string{pattern})[0].match([]byte(text)), matches(pattern, text); got != want {
			t.Fatalf("%q matches %q: %v, want %v", pattern, text, got, want)
		}
	})
}

// FuzzSamplerRule: a rule is taken if there is a way to take it, its sampler is the shortest end that is one, and a setting takes what the
// check of settings takes.
func FuzzSamplerRule(f *testing.F) {
	for _, s := range []string{"GET /a=never", "*=ratio=0.5", "a=b=rate=10", "=always", "x=remote=http://h", " GET * = always ", "a=ratio=2", "a=rate=1e400", "==never"} {
		f.Add(s, "GET /a")
	}
	f.Fuzz(func(t *testing.T, text, operation string) {
		if len(text) > 128 || len(operation) > 128 {
			return
		}
		pattern, found := "", false
		for i := len(text) - 1; i > 0 && !found; i-- {
			if text[i] != '=' {
				continue
			}
			s, err := ParseSampler(strings.TrimSpace(text[i+1:]))
			pattern = strings.TrimSpace(text[:i])
			found = err == nil && RemoteOf(s) == nil && pattern != ""
		}
		s, err := NewShared(Config{SamplerRules: []string{text}})
		if (ParseSamplerRule(text) == nil) != found || (err == nil) != found {
			t.Fatalf("%q: %v, %v; there is a way to read it: %v", text, ParseSamplerRule(text), err, found)
		}
		if !found {
			return
		}
		want := s.sampler
		if matches(pattern, operation) {
			want = s.samplerRules[0].sampler
		}
		if got := s.findSampler([]byte(operation), nil); got != want {
			t.Fatalf("%q, operation %q: %v, want %v", text, operation, got, want)
		}
	})
}

// FuzzRedact: the value of a parameter whose name is a secret's does not show, whatever stands around it; names and separators stay, and
// a second time changes nothing.
func FuzzRedact(f *testing.F) {
	for _, s := range [][3]string{{"a=1&", "token", "&b=2"}, {"", "%74oken", ""}, {";x&", "API_Key", ";"}, {"a", "%2574oken", "&="}, {"%", "sig", "%"}, {"q=", "n", "="}} {
		f.Add(s[0], s[1], s[2])
	}
	s := newShared(f, Config{RedactQuery: []string{"mine"}})
	f.Fuzz(func(t *testing.T, before, name, after string) {
		if len(before)+len(name)+len(after) > 4096 {
			return
		}
		const secret = "hunter2!"
		query := before + name + "=" + secret + after
		out := string(s.redact.append(nil, []byte(query), 1<<16))
		begins := before == "" || strings.ContainsAny(before[len(before)-1:], "&;")
		if begins && !strings.ContainsAny(name, "&;=") && hiddenName(name) && strings.Contains(out, secret) && !strings.Contains(before+name+after, secret) {
			t.Fatalf("%q shows as %q", query, out)
		}
		if again := string(s.redact.append(nil, []byte(out), 1<<16)); again != out {
			t.Fatalf("%q shows as %q, and that as %q", query, out, again)
		}
		was, is := strings.FieldsFunc(query, isSeparator), strings.FieldsFunc(out, isSeparator)
		if len(was) != len(is) {
			t.Fatalf("%d parameters, then %d: %q, %q", len(was), len(is), query, out)
		}
		for i := range was {
			name, value, _ := strings.Cut(was[i], "=")
			if n, v, _ := strings.Cut(is[i], "="); n != name || v != value && (v != redacted || value == "") {
				t.Fatalf("parameter %q became %q", was[i], is[i])
			}
		}
	})
}

func isSeparator(r rune) bool { return r == '&' || r == ';' }

// hiddenName reports whether net/url reads the name as one that is to be hidden.
func hiddenName(name string) bool {
	plain, err := url.PathUnescape(name)
	if err != nil || len(name) > maxParamName {
		return false
	}
	low := strings.Map(func(r rune) rune { // strings.ToLower would make a "k" of the Kelvin sign
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, plain)
	for _, part := range []string{"authorization", "code", "credential", "jwt", "key", "passw", "passphrase", "pwd", "session", "signature", "secret", "token"} {
		if strings.Contains(low, part) {
			return true
		}
	}
	return low == "mine" || low == "sig" || low == "pin" || low == "otp"
}

// FuzzTags: the value of a tagged header is the one that net/textproto finds, that of a cookie the one that net/http does.
func FuzzTags(f *testing.F) {
	for _, s := range [][3]string{{"X-User:user", "uid", "x-user: 7\r\ncookie: a=1; uid=3\r\n"}, {"Host", "a:b", "x: y\r\n"}, {"cookie", "a", ""}, {"a:b:c", "A", "a:\r\nA: 2\r\n"},
		{"traceparent:t", "x", "traceparent: 1\r\nCookie: x=\r\nCookie: x=2\r\n"}, {"transfer-encoding:te", "x", "Transfer-Encoding: chunked\r\nCookie: x= 1\r\n"}} {
		f.Add(s[0], s[1], s[2])
	}
	f.Fuzz(func(t *testing.T, header, cookie, lines string) {
		if len(header) > 100 || len(cookie) > 100 || len(lines) > 2000 {
			return
		}
		s, err := NewShared(Config{TagHeaders: []string{header}, TagCookies: []string{cookie}})
		headerName, headerTag := nameAndTag(header)
		cookieName, cookieTag := nameAndTag(cookie)
		if err != nil {
			return
		}
		section := "Host: h\r\n" + lines + "\r\n"
		head := "GET / HTTP/1.1\r\n" + section
		// Not as net/http reads the head: it takes the framing fields out, and makes others of some.
		fields, err := textproto.NewReader(bufio.NewReader(strings.NewReader(section))).ReadMIMEHeader()
		// One head, without bare LF and folded lines; of a tag that requests have anyway there would be two.
		ours := []string{"jaeger-debug-id", uneditedTag}
		if err != nil || headerTag == cookieTag || slices.Contains(ours, headerTag) || slices.Contains(ours, cookieTag) || strings.Count(head, "\r\n") != strings.Count(head, "\n") || strings.Index(head, "\r\n\r\n") != len(head)-4 ||
			strings.Contains(head, "\r\n ") || strings.Contains(head, "\r\n\t") {
			return
		}
		fx := &fixture{tb: t, t: s.NewTracer()}
		a, _ := fx.begin(request(span.Server, strings.TrimSuffix(strings.ReplaceAll(head, "\r\n", "\n"), "\n\n")))
		defer fx.end(a)
		if !a.Rec.IsSampled() || fx.t.Stats.TagsLost > 0 {
			return
		}
		tags := map[string]string{}
		for i := range a.Rec.NumTags() {
			k, v := a.Rec.Tag(i)
			tags[string(k)] = string(v)
		}
		want := fields.Get(headerName)
		if got, ok := tags[headerTag]; ok && !strings.HasPrefix(want, got) || !ok && want != "" {
			t.Fatalf("header %q has %q in\n%s\nnet/textproto %q", header, got, head, want)
		}
		req := http.Request{Header: http.Header(fields)}
		for _, c := range req.Cookies() {
			if c.Name != cookieName || strings.ContainsFunc(strings.Join(req.Header["Cookie"], ""), notInCookie) {
				continue
			}
			want := strings.TrimLeft(c.Value, " \t") // net/http keeps the blanks behind the =
			// A record's text has room for each line twice, as what it is and as a tag, if the lines are short; a tag may be cut if not.
			got, ok := tags[cookieTag]
			short := len(want) < 100 && 2*len(lines)+len(header)+len(cookie) < 650
			if want != "" && (!ok || !strings.HasPrefix(want, got) || short && got != want) {
				t.Fatalf("cookie %q has %q in\n%s\nnet/http %q", cookie, got, head, want)
			}
			break
		}
	})
}

// notInCookie reports whether net/http takes a quote off a cookie's value for r, or passes the cookie over: the next of that name is then its first.
func notInCookie(r rune) bool {
	return r == '"' || r == '\\' || r >= 0x7f || r < ' '
}

// nameAndTag reads NAME[:tag].
func nameAndTag(text string) (name, tag string) {
	name, tag, ok := strings.Cut(text, ":")
	if !ok {
		tag = name
	}
	return name, tag
}
