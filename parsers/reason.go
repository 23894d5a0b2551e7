package parsers

// Reason says why a stream became opaque, or why a head was left unedited. Its name is the value of the label `reason` of
// spanwire_opaque_total and spanwire_unedited_total.
type Reason uint8

// The reasons of the engine and of the table of parsers come first; those of each protocol follow.
const (
	// ReasonNone: none; a head with it may be edited.
	ReasonNone Reason = iota
	// ReasonUnknown: no parser wanted the first bytes.
	ReasonUnknown
	// ReasonServerFirst: the server spoke before the client did.
	ReasonServerFirst
	// ReasonPort: the destination port is not on the list of ports to parse.
	ReasonPort
	// ReasonDisabled: tracing is switched off.
	ReasonDisabled
	// ReasonTLS: a TLS handshake.
	ReasonTLS
	// ReasonHTTP2: the HTTP/2 connection preface.
	ReasonHTTP2
	// ReasonProxyProtocol: a PROXY protocol header.
	ReasonProxyProtocol
	// ReasonSlowHead: a head was forwarded before it was complete, since its sender took too long.
	ReasonSlowHead
	// ReasonNoInject: the destination is on the list of those that get no headers.
	ReasonNoInject
	// ReasonSigned: the request's signature covers a header that would be changed.
	ReasonSigned
	// ReasonNoHeaders: the protocol has no header lines.
	ReasonNoHeaders
	// NumReasons is the number of values of Reason.
	NumReasons
)

// reasonNames is indexed by Reason.
var reasonNames = [NumReasons]string{
	ReasonNone: "none", ReasonUnknown: "unknown_protocol", ReasonServerFirst: "server_first", ReasonPort: "port",
	ReasonDisabled: "disabled", ReasonTLS: "tls", ReasonHTTP2: "http2", ReasonProxyProtocol: "proxy_protocol",
	ReasonSlowHead: "slow_head", ReasonNoInject: "no_inject", ReasonSigned: "signed", ReasonNoHeaders: "no_headers",
}

// String returns the name of r as it stands in metrics.
func (r Reason) String() string {
	if r < NumReasons {
		return reasonNames[r]
	}
	return "invalid"
}
