package parsers_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/spanwire/spanwire/parsers"
	"github.com/spanwire/spanwire/parsers/parsertest"
)

// samples are the dialogues that every parser of the table is played. Each row must claim one at least, so a newcomer adds its own.
var samples = []struct{ row, client, server string }{
	{"tls", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "\x16\x03\x03"},
	{"http2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00", "\x00\x00\x00\x04\x00"},
	{"proxy", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.1\r\n\r\n", ""},
	{"proxy", "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c", ""},
	{"http1", "GET /a?b HTTP/1.1\r\nHost: h\r\n\r\nPOST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1;x\r\na\r\n0\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 404 Not Found\r\n\r\nbody"},
	{"tcp", "*1\r\n$4\r\nPING\r\n", "+PONG\r\n"},
	{"tcp", "\x00\xff\x00", "\x00"},
	{"toy", "GETX a\nGETX b\n", "OK 1\nERR no\n"},
	{"toy", "GETX a\nGETX", "OK 1\nOK"},
	{"toy", "GETX a\nPUTX b\n", "OK 1\n"},
}

// withToy is the table with one line more, as a new protocol would add.
func withToy() []parsers.Parser {
	return slices.Insert(parsers.Table(), 0, parsertest.Toy())
}

func TestConformance_EveryRowHasASampleThatItClaims(t *testing.T) {
	for i, row := range withToy() {
		claimed := false
		for _, s := range samples {
			at, v := parsers.Sniff(withToy(), []byte(s.client))
			claimed = claimed || s.row == row.Name && v == parsers.Yes && at == i
		}
		if !claimed {
			t.Errorf("no sample for %s", row.Name)
		}
	}
}

func TestConformance_EverySplitGivesTheSameEvents(t *testing.T) {
	for _, s := range samples {
		t.Run(s.row, func(t *testing.T) {
			steps := []parsertest.Step{
				{Dir: parsers.ClientToServer, Data: []byte(s.client)}, {Dir: parsers.ServerToClient, Data: []byte(s.server)},
				{Dir: parsers.ServerToClient, End: true}, {Dir: parsers.ClientToServer, End: true, Reset: true},
			}
			want := replay(t, steps)
			for i, step := range steps {
				for at := 1; at < len(step.Data); at++ {
					if got := replay(t, splitAt(steps, i, at)); !slices.Equal(got, want) {
						t.Fatalf("step %d split at %d: got %q, want %q", i, at, got, want)
					}
				}
			}
			if got := replay(t, pieces(steps, 1)); !slices.Equal(got, want) {
				t.Fatalf("byte by byte: got %q, want %q", got, want)
			}
		})
	}
}

// TestConformance_NoParserBreaksOnAnothersBytes plays every sample to every parser, sniffer or not.
func TestConformance_NoParserBreaksOnAnothersBytes(t *testing.T) {
	for _, row := range withToy() {
		if row.New == nil {
			continue
		}
		row.Sniff = func([]byte) parsers.Verdict { return parsers.Yes }
		for _, s := range samples {
			for _, order := range [][2]parsers.Direction{{0, 1}, {1, 0}} {
				data := [2]string{s.client, s.server}
				steps := pieces([]parsertest.Step{
					{Dir: order[0], Data: []byte(data[order[0]])}, {Dir: order[1], Data: []byte(data[order[1]])},
				}, 2)
				if lines, err := parsertest.Replay([]parsers.Parser{row}, steps); err != nil {
					t.Errorf("%s: %q: %v after %q", row.Name, s, err, lines)
				}
			}
		}
	}
}

func TestSniff_AnswersDoNotDependOnSegmentation(t *testing.T) {
	for _, row := range withToy() {
		for _, s := range samples {
			was := parsers.More
			for n := 1; n <= len(s.client); n++ {
				v := row.Sniff([]byte(s.client[:n]))
				if was != parsers.More && v != was {
					t.Fatalf("%s: %q was %d and is %d", row.Name, s.client[:n], was, v)
				}
				was = v
			}
		}
	}
}

func TestToy_GivesSpansWithoutHTTP(t *testing.T) {
	got := replay(t, []parsertest.Step{
		{Dir: parsers.ClientToServer, Data: []byte("GETX key\nGETX other\n")},
		{Dir: parsers.ServerToClient, Data: []byte("OK value\nERR none\nOK more\n")},
	})
	want := []string{
		"RequestStart 0-9 - key 1.0 operation=GETX fields=0 unedited=no_headers",
		"RequestEnd 9 bytes=9 body=0",
		"RequestStart 9-20 - other 1.0 operation=GETX fields=0 unedited=no_headers",
		"RequestEnd 20 bytes=11 body=0",
		"ResponseStart 0-9 0 1.0 fields=0 unedited=no_headers",
		"ResponseEnd 9 bytes=9 body=0",
		"ResponseStart 9-18 0 1.0 failed fields=0 unedited=no_headers",
		"ResponseEnd 18 bytes=9 body=0",
		"Opaque server_to_client 18 unsolicited",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// replay plays steps to the table with the toy in it.
func replay(t *testing.T, steps []parsertest.Step) []string {
	t.Helper()
	lines, err := parsertest.Replay(withToy(), steps)
	if err != nil {
		t.Fatalf("%v after %q", err, lines)
	}
	return lines
}
