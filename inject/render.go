package inject

import (
	"strconv"
	"strings"
)

// block returns the value in block style, one line each, without line endings; every line begins with indent.
func block(v any, indent string) []string {
	switch v := v.(type) {
	case mapping:
		var lines []string
		for _, e := range v {
			lines = append(lines, blockEntry(indent+e.key+":", e.value, indent)...)
		}
		return lines
	case []any:
		var lines []string
		for _, e := range v {
			lines = append(lines, blockItem(e, indent)...)
		}
		return lines
	}
	return []string{indent + scalar(v)}
}

// blockEntry returns "key: value", the value on lines of its own where it is a mapping or a list that is not empty.
func blockEntry(key string, v any, indent string) []string {
	switch v := v.(type) {
	case mapping:
		return append([]string{key}, block(v, indent+"  ")...)
	case []any:
		if short(v) {
			return []string{key + " " + flow(v)}
		}
		return append([]string{key}, block(v, indent)...)
	}
	return []string{key + " " + scalar(v)}
}

// blockItem returns "- value".
func blockItem(v any, indent string) []string {
	lines := block(v, indent+"  ")
	lines[0] = indent + "- " + lines[0][len(indent)+2:]
	return lines
}

// short reports whether a list is better read in one line.
func short(l []any) bool {
	for _, v := range l {
		if s, ok := v.(string); !ok || len(s) > 20 {
			return false
		}
	}
	return len(l) <= 2
}

// flow returns the value in flow style, in one line. It is JSON.
func flow(v any) string {
	var b strings.Builder
	appendFlow(&b, v)
	return b.String()
}

func appendFlow(b *strings.Builder, v any) {
	switch v := v.(type) {
	case mapping:
		b.WriteByte('{')
		for i, e := range v {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(quote(e.key))
			b.WriteString(": ")
			appendFlow(b, e.value)
		}
		b.WriteByte('}')
	case []any:
		b.WriteByte('[')
		for i, e := range v {
			if i > 0 {
				b.WriteString(", ")
			}
			appendFlow(b, e)
		}
		b.WriteByte(']')
	case string:
		b.WriteString(quote(v))
	default:
		b.WriteString(scalar(v))
	}
}

// scalar returns a scalar in block style: a string is quoted unless nobody can take it for anything else.
func scalar(v any) string {
	switch v := v.(type) {
	case string:
		if obvious(v) {
			return v
		}
		return quote(v)
	case int:
		return strconv.Itoa(v)
	case bool:
		return strconv.FormatBool(v)
	}
	panic("BUG: a value of another type")
}

// words that YAML 1.1 or 1.2 take for something other than a string.
const words = " y yes n no on off true false null nan inf "

// obvious reports whether s is a string to every reader of YAML without quotes: it begins with a letter or a slash, is no word that
// means something else, and has only characters that never mean anything.
func obvious(s string) bool {
	if s == "" || strings.Contains(words, " "+strings.ToLower(s)+" ") {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch letter := c|0x20 >= 'a' && c|0x20 <= 'z'; {
		case letter, c == '/':
		case i > 0 && (c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_'):
		default:
			return false
		}
	}
	return true
}

// quote returns s in double quotes, valid in JSON and in YAML.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < 0x20 || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 || r == 0xfeff:
			h := "000" + strconv.FormatInt(int64(r), 16)
			b.WriteString(`\u` + h[len(h)-4:])
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
