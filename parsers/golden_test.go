package parsers_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spanwire/spanwire/parsers"
	"github.com/spanwire/spanwire/parsers/parsertest"
)

var every = flag.Bool("every", false, "split the data of golden cases at every byte, however long")

var update = flag.Bool("update", false, "write the events that the parser gives into the golden cases, to be read before they are committed")

// rulebook names every row of the tables of rules that a parser can see, with the verdicts that the row has cases of. What only sockets
// see (a write error, a failed dial) is the engine's to test.
var rulebook = map[string]string{
	// Framing.
	"order of rules": "K", "HEAD, 304": "K", "1xx except 101": "K", "204": "KO", "TE + CL, request": "O", "TE + CL, response": "O",
	"TE ending in chunked": "KN", "TE otherwise": "NO", "TE lines": "O", "TE empty members": "O", "name by CGI's naming": "KO",
	"TE in HTTP/1.0": "O", "several CL": "O", "bad CL": "KO", "tab around a framing value": "KN", "chunk size": "KO",
	"chunk extension": "KO", "chunk line ending bare LF": "O", "missing CRLF after chunk data": "O", "trailers": "KO",
	"request without CL/TE": "K", "response until EOF": "K", "bytes after the last response": "O",
	// Dialogue.
	"pipelining": "KO", "expect, waits": "K", "body without waiting": "K", "final status, no 100, no body byte": "O",
	"early final while body in progress": "KO", "upgrade in request": "KO", "101 to any request": "O", "h2c upgrade": "KO",
	"CONNECT": "KO", "HTTP/1.0": "KO", "Connection: close": "KO", "client half-close": "K", "server half-close": "KO",
	"RST from client": "K", "RST from upstream": "K",
	// Request head.
	"request line": "KO", "HTTP/1.2+": "NO", "HTTP/0.9, HTTP/2.0": "O", "absolute-form": "KN", "authority-form, *": "KN",
	"empty lines": "KO", "SP before first header": "O", "obs-fold": "O", "bare LF": "O", "bare CR, NUL, CTL": "KO",
	"SP before colon, bad name, no colon": "O", "bytes ≥0x80": "K", "Host": "KN", "HTTP/1.0 without Host": "K", "name case": "K",
	"head over 64 KiB or 256 fields": "NO", "head near limits": "KN", "hop-by-hop left": "K", "Connection naming our header": "K",
	"split at any byte": "K",
	// Response head.
	"status line": "K", "bad status line": "O", "syntax as requests": "KO", "response head over limits": "KO",
	"1xx with a body, 101 without Upgrade": "KO",
	// First bytes.
	"TLS": "O", "HTTP/2 preface": "KO", "PROXY": "KO", "server speaks first": "O", "text lines": "KO", "no SP": "O", "client silent": "K",
}

// goldenCase is one case of a file in testdata. The format is told at the top of framing.txt.
type goldenCase struct {
	name, row, verdict string
	steps              []parsertest.Step
	want               []string
	end                int // the line behind the last that is not an event
}

func TestGolden_EverySplitGivesTheSameEvents(t *testing.T) {
	for _, file := range goldenFiles(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			for _, c := range readGolden(t, file) {
				t.Run(c.name, func(t *testing.T) { replayGolden(t, &c) })
			}
		})
	}
}

func TestGolden_EveryRowHasACase(t *testing.T) {
	seen := map[string]string{}
	for _, file := range goldenFiles(t) {
		for _, c := range readGolden(t, file) {
			if _, ok := rulebook[c.row]; !ok {
				t.Errorf("%s: %s: no row %q in the rulebook", file, c.name, c.row)
			}
			if !strings.Contains(seen[c.row], c.verdict) {
				seen[c.row] += c.verdict
			}
		}
	}
	for row, verdicts := range rulebook {
		got := []byte(seen[row])
		slices.Sort(got)
		if string(got) != verdicts {
			t.Errorf("row %q has cases with the verdicts %q, want %q", row, got, verdicts)
		}
	}
}

// replayGolden plays a case in one piece, byte by byte, three by three, and split at every byte (stride says which of long data).
func replayGolden(t *testing.T, c *goldenCase) {
	table := parsers.Table()
	check := func(how string, steps []parsertest.Step) {
		t.Helper()
		got, err := parsertest.Replay(table, steps)
		if err != nil {
			t.Fatalf("%s: %v", how, err)
		}
		if !slices.Equal(got, c.want) {
			t.Fatalf("%s: got\n\t%s\nwant\n\t%s", how, strings.Join(got, "\n\t"), strings.Join(c.want, "\n\t"))
		}
	}
	check("in one piece", c.steps)
	if got := verdictOf(c.want); got != c.verdict {
		t.Errorf("the events mean %s, the rulebook says %s", got, c.verdict)
	}
	check("byte by byte", pieces(c.steps, 1))
	check("three by three", pieces(c.steps, 3))
	for i, s := range c.steps {
		for at := 1; at < len(s.Data); at += stride(at, len(s.Data)) {
			check(fmt.Sprintf("step %d split at %d", i, at), splitAt(c.steps, i, at))
		}
	}
}

// stride is how far the next split point is. Data of 4 KiB and more, which only heads near the limits need, are split at every byte of their first
// and last 64 and at every 1021st in between: what stands there is filler, and all of some 300 000 splits take half a minute of CPU. -every has them.
func stride(at, size int) int {
	if *every || size < 4096 || at < 64 || size-at < 64 {
		return 1
	}
	return min(1021, size-at-63)
}

// verdictOf tells from the events what became of the connection.
func verdictOf(events []string) string {
	verdict := "K"
	for _, e := range events {
		if strings.HasPrefix(e, "Opaque") || strings.HasPrefix(e, "Sniffed") {
			return "O"
		}
		if strings.Contains(e, " unedited=") && (strings.HasPrefix(e, "RequestStart") || strings.Contains(e, "transfer_encoding")) {
			verdict = "N"
		}
	}
	return verdict
}

// pieces cuts the data of all steps into pieces of n bytes.
func pieces(steps []parsertest.Step, n int) []parsertest.Step {
	var out []parsertest.Step
	for _, s := range steps {
		if s.End {
			out = append(out, s)
		}
		for piece := range slices.Chunk(s.Data, n) {
			out = append(out, parsertest.Step{Dir: s.Dir, Data: piece})
		}
	}
	return out
}

// splitAt cuts step i at byte at.
func splitAt(steps []parsertest.Step, i, at int) []parsertest.Step {
	out := slices.Clone(steps[:i])
	out = append(out, parsertest.Step{Dir: steps[i].Dir, Data: steps[i].Data[:at]})
	out = append(out, parsertest.Step{Dir: steps[i].Dir, Data: steps[i].Data[at:]})
	return append(out, steps[i+1:]...)
}

// goldenFiles lists the files of cases.
func goldenFiles(t testing.TB) []string {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	return files
}

// readGolden reads the cases of a file, and with -update writes their events first.
func readGolden(t testing.TB, file string) []goldenCase {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	cases := parseGolden(t, file, lines)
	if !*update {
		return cases
	}
	var out bytes.Buffer
	next := 0
	for i := range cases {
		c := &cases[i]
		if c.want, err = parsertest.Replay(parsers.Table(), c.steps); err != nil {
			t.Fatalf("%s: %s: %v", file, c.name, err)
		}
		for ; next < c.end; next++ {
			if !strings.HasPrefix(lines[next], "= ") {
				fmt.Fprintln(&out, lines[next])
			}
		}
		for _, e := range c.want {
			fmt.Fprintln(&out, "= "+e)
		}
		for next < len(lines) && strings.HasPrefix(lines[next], "= ") {
			next++
		}
	}
	if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return cases
}

// parseGolden parses the lines of a file.
func parseGolden(t testing.TB, file string, lines []string) []goldenCase {
	var cases []goldenCase
	for i, line := range lines {
		if name, ok := strings.CutPrefix(line, "## "); ok {
			cases = append(cases, goldenCase{name: name})
			continue
		}
		if len(cases) == 0 || line == "" {
			continue
		}
		c := &cases[len(cases)-1]
		row, isRow := strings.CutPrefix(line, "row: ")
		event, isEvent := strings.CutPrefix(line, "= ")
		switch {
		case isRow:
			c.verdict, c.row, _ = strings.Cut(row, " | ")
		case isEvent:
			c.want = append(c.want, event)
			continue
		case line[0] == '>' || line[0] == '<':
			if err := c.input(line); err != nil {
				t.Fatalf("%s:%d: %v", file, i+1, err)
			}
		}
		c.end = i + 1
	}
	return cases
}

// input adds one line of input to the case.
func (c *goldenCase) input(line string) error {
	s := parsertest.Step{Dir: parsers.ClientToServer}
	if line[0] == '<' {
		s.Dir = parsers.ServerToClient
	}
	switch rest := line[1:]; {
	case rest == "fin" || rest == "reset":
		s.End, s.Reset = true, rest == "reset"
		c.steps = append(c.steps, s)
		return nil
	case strings.HasPrefix(rest, "+ "):
		line = rest[2:]
	case rest == "" || rest[0] == ' ':
		line = strings.TrimPrefix(rest, " ") + `\r\n`
	default:
		return fmt.Errorf("input %q", line)
	}
	data, err := unescape(line)
	if err != nil {
		return err
	}
	if n := len(c.steps); n > 0 && c.steps[n-1].Dir == s.Dir && !c.steps[n-1].End {
		c.steps[n-1].Data = append(c.steps[n-1].Data, data...)
		return nil
	}
	s.Data = data
	c.steps = append(c.steps, s)
	return nil
}

// unescape resolves the escapes of an input line.
func unescape(s string) ([]byte, error) {
	var out []byte
	for len(s) > 0 {
		if s[0] != '\\' {
			out = append(out, s[0])
			s = s[1:]
			continue
		}
		if len(s) < 2 {
			return nil, fmt.Errorf("escape at the end of a line")
		}
		switch s[1] {
		case '\\':
			out, s = append(out, '\\'), s[2:]
		case '{':
			body, rest, _ := strings.Cut(s[2:], "}")
			text, count, _ := strings.Cut(body, "*")
			piece, err := unescape(text)
			if err != nil {
				return nil, err
			}
			n, err := strconv.Atoi(count)
			if err != nil {
				return nil, err
			}
			out, s = append(out, bytes.Repeat(piece, n)...), rest
		default:
			c, _, tail, err := strconv.UnquoteChar(s, 0)
			if err != nil {
				return nil, fmt.Errorf("escape %q: %w", s, err)
			}
			out, s = append(out, byte(c)), tail
		}
	}
	return out, nil
}
