package transparency

// difference is one way in which what passes through the sidecar differs from what goes directly, rightly, and all tests that see it.
type difference struct {
	reason string              // one sentence
	tests  map[string][]string // by suite: those that pass without the sidecar and do not through it
	// needs is a file without which, or with 0 in which, the machine cannot show the difference; "" = none.
	needs string
	// sometimes: it is a race, which a test may win; the others differ each time.
	sometimes bool
}

// deadPort is a reason of two entries.
const deadPort = "The test wants connecting to a port without a listener to be refused, where a redirected connection is accepted and then reset."

// accepted is the list of accepted differences: proof.MaxDifferences at most, over all suites. An entry of which a test no longer
// differs fails the suite too. What differs for another reason than these is a fault of the sidecar's.
var accepted = []difference{
	{
		reason: "The test compares the whole header of a request, in which the trace context and the request id are new.",
		tests: map[string][]string{
			"Go net/http": {"TestClientCopyHeadersOnRedirect"},
			"CPython test_xmlrpc": of("test_xmlrpc.HeadersServerTestCase", "test_header", "test_header_empty", "test_header_items", "test_header_many",
				"test_header_tuple"),
		},
	},
	{
		reason: deadPort,
		tests: map[string][]string{
			"CPython test_socket":  of("test_socket.NetworkConnectionNoServer", "test_connect", "test_create_connection", "test_create_connection_all_errors"),
			"CPython test_ssl":     of("test_ssl.BasicSocketTests", "test_connect_ex_error"),
			"CPython test_imaplib": of("test_imaplib.TestImaplib", "test_imap4_host_default_value"),
			"CPython test_asyncio": append(
				ofLoops("test_asyncio.test_events", "test_create_connection_local_addr_skip_different_family", "test_server_close"),
				ofLoops("test_asyncio.test_sock_lowlevel", "test_cancel_sock_accept", "test_sock_client_fail")...),
			"curl":           {"refused"},
			"Node fetch":     {"refused kind"},
			"JDK HttpClient": {"refused kind"},
		},
	},
	{
		// It allows a tenth of a second, after which it passes whatever happened; how soon the reset comes decides.
		reason: deadPort, tests: map[string][]string{"CPython test_asyncio": of("test_asyncio.test_ssl.TestSSL", "test_connect_timeout_warning")}, sometimes: true,
	},
	{
		reason: "The test's server compares the address of its peer with the client's own, and sees the sidecar's.",
		tests: map[string][]string{
			"CPython test_ssl":     of("test_ssl.ThreadedTests", "test_server_accept"),
			"CPython test_asyncio": ofLoops("test_asyncio.test_sock_lowlevel", "test_sock_accept"),
		},
	},
	{
		reason: "The test demands Multipath TCP from end to end, and between two ends that both speak it the sidecar speaks plain TCP with each.",
		tests:  map[string][]string{"Go net": {"TestMultiPathTCP"}}, needs: "/proc/sys/net/mptcp/enabled",
	},
	{
		reason: "The test has the server close after 1 KiB of 256, and wants sending to fail, where the buffers of one more connection may take all of it first.",
		tests: map[string][]string{"CPython test_asyncio": ofLoops("test_asyncio.test_sendfile", "test_sendfile_close_peer_in_the_middle_of_receiving",
			"test_sendfile_fallback_close_peer_in_the_middle_of_receiving")}, sometimes: true,
	},
}

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
