package parsers

// Table returns the protocols in the order in which they are asked: those with an unmistakable first byte or preface before those
// that are told by their grammar, and last the row that takes whatever is left. The caller owns the slice.
func Table() []Parser {
	return []Parser{
		{Name: "tls", Sniff: sniffTLS, Opaque: ReasonTLS, About: helloServerName},
		{Name: "http2", Sniff: sniffHTTP2, Opaque: ReasonHTTP2},
		{Name: "proxy", Sniff: sniffProxy, Opaque: ReasonProxyProtocol},
		{Name: "http1", Sniff: sniffHTTP1, New: newHTTP1},
		{Name: "tcp", Sniff: sniffTCP, Opaque: ReasonUnknown},
	}
}

// Sniff asks the rows of table in order whose the first bytes of a connection are. first is all that the client has sent so far, at
// least one byte. It returns the index of the row and Yes; -1 and More while a row before the first that would take them cannot say
// yet (a later row never wins by the mere slowness of an earlier one); -1 and No when every row refused.
//
// Invariant, for every row: an answer other than More stays the same whatever follows, so the outcome does not depend on how the
// bytes were segmented.
func Sniff(table []Parser, first []byte) (index int, v Verdict) {
	for i := range table {
		switch table[i].Sniff(first) {
		case Yes:
			return i, Yes
		case More:
			return -1, More
		}
	}
	return -1, No
}
