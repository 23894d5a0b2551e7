package transparency

import (
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/spanwire/spanwire/internal/proof"
)

func TestTheListIsShortAndSaysWhy(t *testing.T) {
	if len(accepted) > proof.MaxDifferences {
		t.Errorf("%d differences, at most %d", len(accepted), proof.MaxDifferences)
	}
	seen := map[string]bool{}
	for _, d := range accepted {
		for suite, manners := range d.tests {
			for _, test := range d.of(suite) {
				if seen[suite+" "+test] {
					t.Errorf("%s %s is there twice", suite, test)
				}
				seen[suite+" "+test] = true
			}
			for _, m := range manners {
				if text, err := regexp.Compile(m.says); err != nil || text.MatchString("") || text.MatchString("signal: killed") || len(m.tests) == 0 {
					t.Errorf("%s %q: is to be what these tests say, and nothing else does: %v", suite, m.says, err)
				}
			}
		}
		if d.reason == "" || !strings.HasSuffix(d.reason, ".") || strings.Contains(d.reason, ". ") {
			t.Errorf("%v: the reason is to be one sentence: %q", d.tests, d.reason)
		}
	}
}

// What a listed test writes in some other way of failing is not what its entry says; what it wrote in real runs is.
func TestTheListKnowsHowItsTestsFail(t *testing.T) {
	const sendfile = "test_asyncio.test_sendfile.PollEventLoopTests.test_sendfile_close_peer_in_the_middle_of_receiving"
	for _, c := range []struct {
		suite, test, output string
		listed              bool
	}{
		{"curl", "refused", `exit 56: "" (want exit 7 and "")`, true},
		{"curl", "refused", `exit 28: "" (want exit 7 and "")`, false},
		{"curl", "refused", `exit -1: "" (want exit 7 and "")`, false},
		{"curl", "get", `exit 56: "" (want exit 7 and "")`, false},
		{"wget", "refused", `exit 56: "" (want exit 7 and "")`, false},
		{"Node fetch", "refused kind", "ECONNRESET (want ECONNREFUSED)", true},
		{"Node fetch", "refused kind", "UND_ERR_HEADERS_TIMEOUT (want ECONNREFUSED)", false},
		{"JDK HttpClient", "refused kind", "IOException (want ConnectException)", true},
		{"JDK HttpClient", "refused kind", "HttpTimeoutException (want ConnectException)", false},
		{"CPython test_ssl", "test_ssl.BasicSocketTests.test_connect_ex_error", "ConnectionResetError: [Errno 104] Connection reset by peer", true},
		{"CPython test_ssl", "test_ssl.BasicSocketTests.test_connect_ex_error", "the process ended: Timeout (0:01:00)!", false},
		{"CPython test_ssl", "test_ssl.ThreadedTests.test_server_accept", "AssertionError: Tuples differ: ('127.0.0.1', 58734) != ('127.0.0.1', 58732)", true},
		{"CPython test_ssl", "test_ssl.ThreadedTests.test_server_accept", "ConnectionResetError: [Errno 104] Connection reset by peer", false},
		{"CPython test_imaplib", "test_imaplib.TestImaplib.test_imap4_host_default_value", "Cannot run the test with local IMAP server running.", true},
		{"CPython test_imaplib", "test_imaplib.TestImaplib.test_imap4_host_default_value", "needs the network", false},
		{"CPython test_asyncio", sendfile, "AssertionError: ConnectionError not raised", true},
		{"CPython test_asyncio", sendfile, "TimeoutError", false},
		{"CPython test_socket", "test_socket.NetworkConnectionNoServer.test_connect", "AssertionError: OSError not raised", true},
		{"CPython test_socket", "test_socket.NetworkConnectionNoServer.test_connect", "AssertionError: 110 != 111", false},
		{"CPython test_xmlrpc", "test_xmlrpc.HeadersServerTestCase.test_header", "AssertionError: Lists differ: ['Acc[48 chars] 'X-Request-Id', 'X-Test', 'traceparent'] != " +
			"['Acc[48 chars] 'Host', 'User-Agent', 'X-Test']\n\nFirst list contains 2 additional elements.\n", true},
		{"CPython test_xmlrpc", "test_xmlrpc.HeadersServerTestCase.test_header", "AssertionError: Lists differ: ['Acc[48 chars] 'X-Request-Id', 'X-Test', 'traceparent'] != " +
			"['Acc[48 chars] 'Host', 'User-Agent', 'X-Test']\n\nFirst list contains 1 additional elements.\n", false},
		{"Go net", "TestMultiPathTCP", "outgoing connection is not with MPTCP", true},
		{"Go net", "TestMultiPathTCP", "panic: test timed out after 1m0s", false},
		{"Go net/http", "TestClientCopyHeadersOnRedirect", `Request.Header = http.Header{"Accept-Encoding":[]string{"gzip"}, "Traceparent":[]string{"00-0fde63"}, ` +
			`"X-Request-Id":[]string{"217b0c7b"}}; want http.Header{}`, true},
		{"Go net/http", "TestClientCopyHeadersOnRedirect", `Request.Header = http.Header{"Accept-Encoding":[]string{"gzip"}}; want http.Header{}`, false},
	} {
		cmp := comparison{suite: c.suite, list: accepted}
		if got := cmp.asListed(c.test, ending{failed, c.output}); got != c.listed {
			t.Errorf("%s: %s: %q: as the list says: %v", c.suite, c.test, c.output, got)
		}
	}
}

func end(o outcome) ending { return ending{outcome: o} }

// differing is how the tests of these lists fail.
var differing = ending{failed, "it says why"}

// listed is a list with the test T, and with V, which this machine cannot show.
var listed = []difference{
	{tests: map[string][]manner{"s": {{"says w", []string{"T"}}}, "other": {{"says w", []string{"T"}}}}, reason: "R."},
	{tests: map[string][]manner{"s": {{"says w", []string{"V"}}}}, reason: "R.", needs: "/nowhere"},
}

func TestJudge(t *testing.T) {
	for name, c := range map[string]struct {
		direct, through results
		accepted        int
		problem         string // "" = none
	}{
		"a listed difference":                         {results{"T": end(passed)}, results{"T": differing}, 1, ""},
		"a listed one is skipped":                     {results{"T": end(passed)}, results{"T": {skipped, "says why"}}, 1, ""},
		"a listed one passes":                         {results{"T": end(passed)}, results{"T": end(passed)}, 1, "take it off"},
		"a listed one fails anyway":                   {results{"T": end(failed)}, results{"T": differing}, 1, "take it off"},
		"a listed one is gone":                        {results{}, results{}, 1, "take it off"},
		"a listed one of a list that cannot be shown": {results{"T": end(passed), "V": end(passed)}, results{"T": differing, "V": end(passed)}, 1, ""},
		"an unlisted difference":                      {results{"T": end(passed), "U": end(passed)}, results{"T": differing, "U": end(failed)}, 1, "U fails through"},
		"skipped directly":                            {results{"T": end(passed), "U": end(skipped)}, results{"T": differing, "U": end(failed)}, 1, "U fails through"},
		"skipped through":                             {results{"T": end(passed), "U": end(passed)}, results{"T": differing, "U": end(skipped)}, 1, "U passes directly and is skipped"},
		"fails directly too":                          {results{"T": end(passed), "U": end(failed)}, results{"T": differing, "U": end(failed)}, 1, ""},
		"fails directly only":                         {results{"T": end(passed), "U": end(failed)}, results{"T": differing, "U": end(passed)}, 1, ""},
		"missing through":                             {results{"T": end(passed), "U": end(passed)}, results{"T": differing}, 1, "U ran directly only"},
		"missing directly":                            {results{"T": end(passed)}, results{"T": differing, "U": end(passed)}, 1, "U ran through the sidecar only"},
	} {
		cmp := comparison{suite: "s", list: listed, direct: c.direct, through: c.through}
		got, problems := cmp.judge()
		ok := len(problems) == 0
		if c.problem != "" {
			ok = len(problems) == 1 && strings.Contains(problems[0], c.problem)
		}
		if len(got) != c.accepted || !ok {
			t.Errorf("%s: accepted %v, problems %q", name, got, problems)
		}
	}
}

// A listed test that fails in another way than its entry says differs for another reason: both are said.
func TestJudgeHowAListedTestFails(t *testing.T) {
	for name, e := range map[string]ending{"hangs": {failed, "killed"}, "skipped for another reason": {skipped, "no network"}} {
		cmp := comparison{suite: "s", list: listed, direct: results{"T": end(passed)}, through: results{"T": e}}
		if _, problems := cmp.judge(); len(problems) != 2 || !strings.Contains(problems[0], "T ") || !strings.Contains(problems[1], "take it off") {
			t.Errorf("%s: problems %q", name, problems)
		}
	}
}

// What a race decides is on the page whichever way it went, and is a race of one thing only.
func TestJudgeRaces(t *testing.T) {
	list := []difference{{tests: map[string][]manner{"s": {{"says w", []string{"W"}}}}, reason: "R.", sometimes: true}}
	for name, c := range map[string]struct {
		direct, through results
		problem         bool
	}{
		"lost":           {results{"W": end(passed)}, results{"W": differing}, false},
		"lost otherwise": {results{"W": end(passed)}, results{"W": {failed, "killed"}}, true},
		"won":            {results{"W": end(passed)}, results{"W": end(passed)}, false},
		"lost always":    {results{"W": end(failed)}, results{"W": end(failed)}, false},
		"gone":           {results{}, results{}, true},
	} {
		cmp := comparison{suite: "s", list: list, direct: c.direct, through: c.through}
		got, problems := cmp.judge()
		if len(got) != 1 || !got[0].Sometimes || (len(problems) > 0) != c.problem {
			t.Errorf("%s: accepted %+v, problems %q", name, got, problems)
		}
	}
}

func TestParseGo(t *testing.T) {
	for output, want := range map[string]outcome{
		"=== RUN   TestX\n--- PASS: TestX (0.00s)\nPASS\n":                                        passed,
		"=== RUN   TestX\n    --- FAIL: TestX/sub (0.00s)\n--- FAIL: TestX (0.00s)\nFAIL\n":       failed,
		"=== RUN   TestX\n    x.go:1: no\n--- SKIP: TestX (0.00s)\nPASS\n":                        skipped,
		"=== RUN   TestX\npanic: here\n":                                                          failed,
		"=== RUN   TestX\n--- PASS: TestX (0.00s)\npanic: in a goroutine left behind\n":           failed,
		"=== RUN   TestX\n--- PASS: TestX (0.00s)\nPASS\nToo many goroutines running after it.\n": failed,
		"testing: warning: no tests to run\nPASS\n":                                               failed,
	} {
		exitedWith0 := strings.HasSuffix(output, "PASS\n")
		if got := parseGo("TestX", output, exitedWith0); got.outcome != want {
			t.Errorf("%q: outcome %d, want %d", output, got.outcome, want)
		}
	}
}

func TestParseVerbose(t *testing.T) {
	got := parseVerbose("=== RUN   Test\n=== RUN   Test/A\n=== RUN   Test/A/deeper\n=== RUN   Test/B\n--- FAIL: Test (0.00s)\n    --- PASS: Test/A (0.00s)\n" +
		"        --- PASS: Test/A/deeper (0.00s)\n    --- FAIL: Test/B (0.00s)\n=== RUN   TestC\n--- SKIP: TestC (0.00s)\n=== RUN   TestD\npanic: here\n")
	want := map[string]outcome{"Test/A": passed, "Test/B": failed, "TestC": skipped, "TestD": failed}
	for name, o := range want {
		if got[name].outcome != o {
			t.Errorf("%s: outcome %d, want %d", name, got[name].outcome, o)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d tests, want %d: %v", len(got), len(want), got)
	}
}

func TestNeedsInternet(t *testing.T) {
	const source = "func helper() { mustHaveExternalNetwork(t) }\nfunc TestA(t *testing.T) {\n\ttestenv.MustHaveExternalNetwork(t)\n}\n\nfunc TestB(t *testing.T) {\n\tx()\n}\nfunc TestC(t *testing.T) {\n\tmustHaveExternalNetwork(t)\n}\n"
	if got := needInternet(source); !reflect.DeepEqual(got, []string{"TestA", "TestC"}) {
		t.Errorf("need the Internet: %q", got)
	}
}

func TestParsePython(t *testing.T) {
	got, err := parsePython([]byte(`["test.test_x.T.a", "passed", ""]
["test.test_x.T.b", "skipped", "why"]
["test.test_x.T.c", "failed", "trace"]
["test.test_x.T.c", "passed", ""]
`))
	want := results{"test_x.T.a": end(passed), "test_x.T.b": {skipped, "why"}, "test_x.T.c": {failed, "trace"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("parsed %v, %v; want %v", got, err, want)
	}
	for _, bad := range []string{"x", `["a", "ok", ""]`} {
		if _, err := parsePython([]byte(bad)); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}
