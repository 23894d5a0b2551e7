package parsers

// This file holds the protocols that are recognised and relayed untouched, and the last resort, plain TCP.

// http2Preface is the client connection preface of HTTP/2 (RFC 9113 §3.4).
const http2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// The first bytes of the two versions of the PROXY protocol.
const (
	proxyV1 = "PROXY "
	proxyV2 = "\r\n\r\n\x00\r\nQUIT\n"
)

// sniffTLS recognises a TLS record of type handshake, legacy versions 3.0 to 3.4 (RFC 8446 §5.1).
func sniffTLS(first []byte) Verdict {
	if v := prefix(first, "\x16\x03"); v != Yes {
		return v
	}
	if len(first) == 2 {
		return More
	}
	if first[2] <= 4 {
		return Yes
	}
	return No
}

// sniffHTTP2 recognises HTTP/2 with prior knowledge.
func sniffHTTP2(first []byte) Verdict { return prefix(first, http2Preface) }

// sniffProxy recognises a PROXY protocol header, version 1 or 2.
func sniffProxy(first []byte) Verdict {
	if v := prefix(first, proxyV1); v != No {
		return v
	}
	return prefix(first, proxyV2)
}

// sniffTCP takes everything.
func sniffTCP([]byte) Verdict { return Yes }

// prefix says whether first begins with want: More while it is itself only a beginning of want.
func prefix(first []byte, want string) Verdict {
	n := min(len(first), len(want))
	if string(first[:n]) != want[:n] {
		return No
	}
	if n < len(want) {
		return More
	}
	return Yes
}
