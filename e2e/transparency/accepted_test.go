package transparency

// difference is one way in which what passes through the sidecar differs from what goes directly, rightly, and all tests that see it.
type difference struct {
	reason string              // one sentence
	tests  map[string][]manner // by suite: those that pass without the sidecar and do not through it
	// needs is a file without which, or with 0 in which, the machine cannot show the difference; "" = none.
	needs string
	// sometimes: it is a race, which a test may win; the others differ each time.
	sometimes bool
}

// manner is how tests fail for a reason, or are skipped.
type manner struct {
	says  string // a regular expression that is found in what the test writes then: who fails otherwise fails for another reason
	tests []string
}

// of returns the tests of a suite.
func (d *difference) of(suite string) (tests []string) {
	for _, m := range d.tests[suite] {
		tests = append(tests, m.tests...)
	}
	return tests
}

// deadPort is a reason of two entries.
const deadPort = "The test wants connecting to a port without a listener to be refused, where a redirected connection is accepted and then reset."

// How CPython tells of a connection that is made in place of refused, and of one that is reset as soon as it is used (ECONNRESET, EPIPE).
const (
	notRefused = `(OSError|ConnectionRefusedError) not raised|expected connection to fail`
	wasReset   = `\[Errno (104|32)\]`
)

// accepted is the list of accepted differences: proof.MaxDifferences at most, over all suites. An entry of which a test no longer
// differs, or not as it says, fails the suite too. What differs for another reason than these is a fault of the sidecar's.
var accepted = []difference{
	{
		reason: "The test compares the whole header of a request, in which the trace context and the request id are new.",
		tests: map[string][]manner{
			"Go net/http": {{`Request\.Header = .*"Traceparent":\[\]string\{"00-.*"X-Request-Id":`, []string{"TestClientCopyHeadersOnRedirect"}}},
			"CPython test_xmlrpc": {{`Lists differ: .*'X-Request-Id'.*'traceparent'\] != (?s:.*)First list contains 2 additional elements`, of("test_xmlrpc.HeadersServerTestCase", "test_header", "test_header_empty",
				"test_header_items", "test_header_many", "test_header_tuple")}},
		},
	},
	{
		reason: deadPort,
		tests: map[string][]manner{
			"CPython test_socket": {{notRefused,
				of("test_socket.NetworkConnectionNoServer", "test_connect", "test_create_connection", "test_create_connection_all_errors")}},
			"CPython test_ssl":     {{wasReset, of("test_ssl.BasicSocketTests", "test_connect_ex_error")}},
			"CPython test_imaplib": {{`Cannot run the test with local IMAP server running`, of("test_imaplib.TestImaplib", "test_imap4_host_default_value")}},
			"CPython test_asyncio": {{notRefused, append(
				ofLoops("test_asyncio.test_events", "test_create_connection_local_addr_skip_different_family", "test_server_close"),
				ofLoops("test_asyncio.test_sock_lowlevel", "test_cancel_sock_accept", "test_sock_client_fail")...)}},
			// Reset while it waits for the answer, or while it sends.
			"curl":           {{`^exit 5[56]: "" \(want exit 7 `, []string{"refused"}}},
			"Node fetch":     {{`^ECONNRESET \(want ECONNREFUSED\)`, []string{"refused kind"}}},
			"JDK HttpClient": {{`^(IO|Socket)Exception \(want ConnectException\)`, []string{"refused kind"}}},
		},
	},
	{
		// It allows a tenth of a second, after which it passes whatever happened; how soon the reset comes decides.
		reason:    deadPort,
		tests:     map[string][]manner{"CPython test_asyncio": {{wasReset, of("test_asyncio.test_ssl.TestSSL", "test_connect_timeout_warning")}}},
		sometimes: true,
	},
	{
		reason: "The test's server compares the address of its peer with the client's own, and sees the sidecar's.",
		tests: map[string][]manner{
			"CPython test_ssl":     {{otherPeer, of("test_ssl.ThreadedTests", "test_server_accept")}},
			"CPython test_asyncio": {{otherPeer, ofLoops("test_asyncio.test_sock_lowlevel", "test_sock_accept")}},
		},
	},
	{
		reason: "The test sends, resets at once, and wants the server to find the connection reset before it looks; through the sidecar it may find the data.",
		tests: map[string][]manner{"CPython test_ssl": {{`'before TLS handshake with data' not found in '\[SSL: WRONG_VERSION_NUMBER\]`,
			of("test_ssl.TestPreHandshakeClose", "test_preauth_data_to_tls_server")}}},
		sometimes: true,
	},
	{
		reason: "The test demands Multipath TCP from end to end, and between two ends that both speak it the sidecar speaks plain TCP with each.",
		tests:  map[string][]manner{"Go net": {{`(outgoing|incoming) connection is not with MPTCP`, []string{"TestMultiPathTCP"}}}},
		needs:  "/proc/sys/net/mptcp/enabled",
	},
	{
		reason: "The test has the server close after 1 KiB of 256, and wants sending to fail, where the buffers of one more connection may take all of it first.",
		tests: map[string][]manner{"CPython test_asyncio": {{`ConnectionError not raised|False is not true : 262145`,
			ofLoops("test_asyncio.test_sendfile", "test_sendfile_close_peer_in_the_middle_of_receiving",
				"test_sendfile_fallback_close_peer_in_the_middle_of_receiving")}}},
		sometimes: true,
	},
}

// otherPeer is how CPython tells of two addresses of this host whose ports differ.
const otherPeer = `Tuples differ: \('127\.0\.0\.1', \d+\) != \('127\.0\.0\.1', \d+\)`

// ofLoops names tests of a module of asyncio that run on each kind of event loop.
func ofLoops(module string, tests ...string) (names []string) {
	for _, loop := range []string{"EPoll", "Poll", "Select"} {
		names = append(names, of(module+"."+loop+"EventLoopTests", tests...)...)
	}
	return names
}

// of names tests of a class.
func of(class string, tests ...string) (names []string) {
	for _, test := range tests {
		names = append(names, class+"."+test)
	}
	return names
}
