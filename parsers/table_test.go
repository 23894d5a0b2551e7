package parsers

import (
	"slices"
	"testing"
)

func TestTable_RowsAreWholeAndInSniffOrder(t *testing.T) {
	var names []string
	for _, row := range Table() {
		names = append(names, row.Name)
		if row.Sniff == nil || (row.New == nil) == (row.Opaque == ReasonNone) {
			t.Errorf("%s: sniffs %t, parses %t, opaque for %s", row.Name, row.Sniff != nil, row.New != nil, row.Opaque)
		}
	}
	if want := []string{"tls", "http2", "proxy", "http1", "tcp"}; !slices.Equal(names, want) {
		t.Errorf("rows %q, want %q", names, want)
	}
}

func TestSniff_AsksInOrderAndWaitsForTheEarlier(t *testing.T) {
	always := func(v Verdict) Parser { return Parser{Sniff: func([]byte) Verdict { return v }} }
	for _, tt := range []struct {
		name  string
		rows  []Verdict
		index int
		want  Verdict
	}{
		{"first yes", []Verdict{No, Yes, Yes}, 1, Yes},
		{"an earlier row cannot say yet", []Verdict{No, More, Yes}, -1, More},
		{"a later row cannot say yet", []Verdict{Yes, More}, 0, Yes},
		{"all refuse", []Verdict{No, No}, -1, No},
		{"no rows", nil, -1, No},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var table []Parser
			for _, v := range tt.rows {
				table = append(table, always(v))
			}
			if index, v := Sniff(table, []byte("x")); index != tt.index || v != tt.want {
				t.Errorf("got %d, %d; want %d, %d", index, v, tt.index, tt.want)
			}
		})
	}
}

func TestSniff_ClaimsAsSoonAsItCan(t *testing.T) {
	for _, tt := range []struct{ first, want string }{
		{"\x16", ""}, {"\x16\x03", ""}, {"\x16\x03\x00", "tls"}, {"\x16\x03\x04", "tls"}, {"\x16\x03\x05", "tcp"}, {"\x16\x02", "tcp"},
		{"P", ""}, {"PR", ""}, {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r", ""}, {http2Preface, "http2"}, {"PRI * HTTP/2.0\r\n\r\nSM\r\n\rX", "tcp"},
		{"PROXY", ""}, {"PROXY ", "proxy"}, {proxyV2, "proxy"}, {proxyV2[:11], ""}, {"PROXYX /", "http1"},
		{"GET", ""}, {"GET ", ""}, {"GET /", "http1"}, {"GET h", ""}, {"GET http:/", ""}, {"GET hTTp://", "http1"}, {"GET https://", "http1"},
		{"OPTIONS *", ""}, {"OPTIONS * HTTP/1.", "http1"}, {"CONNECT a:1 HTTP/1.1", "http1"}, {"get key\n", "tcp"}, {"PING\r\n", "tcp"},
		{"\r\n\r\nGET /", "http1"}, {"\r\n\r\n\r\n\r\n\r", "tcp"}, {"\r\nX", ""}, {"\rX", "tcp"}, {"\n", "tcp"}, {" GET /", "tcp"},
	} {
		got := ""
		table := Table()
		if row, v := Sniff(table, []byte(tt.first)); v == Yes {
			got = table[row].Name
		} else if v == No {
			t.Errorf("%q: nobody's, although the last row takes everything", tt.first)
		}
		if got != tt.want {
			t.Errorf("%q: claimed by %q, want %q", tt.first, got, tt.want)
		}
	}
}
