package transparency

// difference is a test that passes without the sidecar and fails through it, rightly.
type difference struct {
	suite, test string
	reason      string // one sentence
	// needs is a file without which the machine cannot show the difference; "" = none.
	needs string
}

// accepted is the list of accepted differences: proof.MaxDifferences at most, over all suites. An entry that no longer differs fails the
// suite too. What differs for another reason than these is a fault of the sidecar's:
//   - the server sees the sidecar's address and port as its peer's;
//   - a port where nobody listens accepts and then resets;
//   - a head of which each byte is compared has one header line more.
var accepted = []difference{
	{
		suite: "Go net", test: "TestMultiPathTCP", needs: "/proc/sys/net/mptcp/enabled",
		reason: "It demands Multipath TCP from end to end, and between two ends that both speak it the sidecar speaks plain TCP with each.",
	},
	{
		suite: "Go net/http", test: "TestClientCopyHeadersOnRedirect",
		reason: "Its server compares the whole header of a request, in which the trace context and the request id are new.",
	},
}
