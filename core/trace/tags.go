package trace

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/spanwire/spanwire/core/span"
)

// tagRule is a header or cookie that becomes a tag.
type tagRule struct {
	name string // header: lower case; cookie: as it is, since cookie names are case-sensitive (RFC 6265 §5.3)
	tag  string
	// answer is the tag of a response's value when the request bore another.
	answer string
}

// secretHeaders never become tags, whole; single cookies may.
var secretHeaders = []string{"authorization", "proxy-authorization", "cookie", "set-cookie"}

// IsTag reports whether a tag may have that name.
func IsTag(name string) bool { return isVisible(name) }

// RefusesTag says why a header, in lower case, may not become a tag; "" when it may.
func RefusesTag(name string) string {
	if slices.Contains(secretHeaders, name) || len(name) > maxNameBytes {
		return fmt.Sprintf("must not be a header of credentials, nor longer than %d characters", maxNameBytes)
	}
	return ""
}

// setTags parses TagHeaders and TagCookies.
func (s *Shared) setTags(c *Config) error {
	for _, text := range c.TagHeaders {
		r, err := parseTag("tag-header", text)
		if err != nil {
			return err
		}
		r.name = strings.ToLower(r.name)
		if why := RefusesTag(r.name); why != "" {
			return refused("tag-header", text, "%s", why)
		}
		k := s.headers.get(r.name)
		if k == nil {
			k = s.headers.add(r.name, headTagOnly)
		}
		if k.tag >= 0 {
			return refused("tag-header", text, "named twice")
		}
		if len(s.tags) == span.MaxTags {
			return refused("tag-header", text, "there may be %d at most", span.MaxTags)
		}
		k.tag = int8(len(s.tags))
		s.answers.add(r.name, headTagOnly).tag = k.tag
		s.tags = append(s.tags, r)
	}
	for _, text := range c.TagCookies {
		r, err := parseTag("tag-cookie", text)
		if err != nil {
			return err
		}
		if len(s.cookies) == span.MaxTags {
			return refused("tag-cookie", text, "there may be %d at most", span.MaxTags)
		}
		s.cookies = append(s.cookies, r)
	}
	if len(s.cookies) > 0 {
		if s.headers.get("cookie") == nil {
			s.headers.add("cookie", headCookie)
		}
		s.answers.add("set-cookie", headCookie)
	}
	return nil
}

// parseTag reads NAME[:tag].
func parseTag(setting, text string) (tagRule, error) {
	name, tag, ok := strings.Cut(text, ":")
	if !ok {
		tag = name
	}
	if !isToken(name) || !isVisible(tag) {
		return tagRule{}, refused(setting, text, "must be NAME or NAME:tag")
	}
	return tagRule{name: name, tag: tag, answer: tag + ".response"}, nil
}

// addTags adds the values of tagged headers and cookies; of several lines or cookies of one name the first counts.
func (t *Tracer) addTags(rec *span.Record, r *Request) {
	var done uint32
	for _, h := range t.seen.tags {
		if done&(1<<h.rule) == 0 {
			done |= 1 << h.rule
			t.tag(rec, t.s.tags[h.rule].tag, h.value.In(r.Data))
		}
	}
	done = 0
	for _, line := range t.seen.cookies {
		v := line.In(r.Data)
		for len(v) > 0 && done != 1<<len(t.s.cookies)-1 {
			var pair []byte
			pair, v, _ = bytes.Cut(v, semicolon)
			name, value, _ := bytes.Cut(pair, equals)
			name, value = bytes.TrimSpace(name), bytes.TrimSpace(value)
			for i := range t.s.cookies {
				if done&(1<<i) == 0 && string(name) == t.s.cookies[i].name {
					done |= 1 << i
					t.tag(rec, t.s.cookies[i].tag, value)
				}
			}
		}
	}
}

// tag adds a tag, or counts that there is no room for it.
func (t *Tracer) tag(rec *span.Record, key string, value []byte) {
	if !rec.AddTag(key, value) {
		t.Stats.TagsLost++
	}
}

var equals = []byte{'='}
