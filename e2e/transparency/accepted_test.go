package transparency

// difference is a test that passes without the sidecar and does not through it, rightly; or some of one class, for one cause.
type difference struct {
	suite  string
	tests  []string
	reason string // one sentence
	// needs is a file without which the machine cannot show the difference; "" = none.
	needs string
}

// accepted is the list of accepted differences: proof.MaxDifferences at most, over all suites. An entry of which a test no longer
// differs fails the suite too. What differs for another reason than these is a fault of the sidecar's:
//   - the server sees the sidecar's address and port as its peer's;
//   - a port where nobody listens accepts and then resets;
//   - a head of which each byte is compared has one header line more.
var accepted = []difference{
	{
		suite: "Go net", tests: []string{"TestMultiPathTCP"}, needs: "/proc/sys/net/mptcp/enabled",
		reason: "It demands Multipath TCP from end to end, and between two ends that both speak it the sidecar speaks plain TCP with each.",
	},
	{
		suite: "Go net/http", tests: []string{"TestClientCopyHeadersOnRedirect"},
		reason: "Its server compares the whole header of a request, in which the trace context and the request id are new.",
	},
	{
		suite: "CPython test_xmlrpc",
		tests: of("test_xmlrpc.HeadersServerTestCase", "test_header", "test_header_empty", "test_header_items", "test_header_many",
			"test_header_tuple"),
		reason: "Their server compares the list of all header names of a request, in which the trace context and the request id are new.",
	},
	{
		suite:  "CPython test_socket",
		tests:  of("test_socket.NetworkConnectionNoServer", "test_connect", "test_create_connection", "test_create_connection_all_errors"),
		reason: "They expect connecting to a port without a listener to be refused, where a redirected connection is accepted and then reset.",
	},
	{
		suite: "CPython test_ssl", tests: of("test_ssl.BasicSocketTests", "test_connect_ex_error"),
		reason: "It expects connecting to a port without a listener to be refused, where a redirected connection is accepted and then reset.",
	},
	{
		suite: "CPython test_ssl", tests: of("test_ssl.ThreadedTests", "test_server_accept"),
		reason: "Its server compares the address of its peer with the client's own, and sees the sidecar's.",
	},
	{
		suite: "CPython test_imaplib", tests: of("test_imaplib.TestImaplib", "test_imap4_host_default_value"),
		reason: "It skips itself because port 143, where nobody listens, accepts the connection and then resets it.",
	},
	{
		suite: "curl", tests: []string{"refused"},
		reason: "A port without a listener accepts through the sidecar and then resets, so curl ends with 56 (failure in receiving) and not with 7 (failed to connect).",
	},
	{
		suite: "Node fetch", tests: []string{"refused kind"},
		reason: "A port without a listener accepts through the sidecar and then resets, so the error's code is ECONNRESET and not ECONNREFUSED.",
	},
	{
		suite: "JDK HttpClient", tests: []string{"refused kind"},
		reason: "A port without a listener accepts through the sidecar and then resets, so the exception is an IOException and not the ConnectException below it.",
	},
}

// of names tests of a class.
func of(class string, tests ...string) (names []string) {
	for _, test := range tests {
		names = append(names, class+"."+test)
	}
	return names
}
