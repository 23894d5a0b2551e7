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
	// ReasonSplitHead: a response's head came in pieces, the first of which have gone on.
	ReasonSplitHead
	// ReasonNoInject: the destination is on the list of those that get no headers.
	ReasonNoInject
	// ReasonSigned: the request's signature covers a header that would be changed.
	ReasonSigned
	// ReasonNoHeaders: the protocol has no header lines.
	ReasonNoHeaders

	// The reasons of HTTP/1 (http1*.go).

	// ReasonRequestLine: not token SP target SP HTTP/1.x.
	ReasonRequestLine
	// ReasonStatusLine: not HTTP/1.x SP 3DIGIT, or a status outside 100 to 599.
	ReasonStatusLine
	// ReasonVersion: not HTTP/1, or a minor version above 1.
	ReasonVersion
	// ReasonBareLF: a line ended with LF alone.
	ReasonBareLF
	// ReasonBareCR: a CR that no LF follows.
	ReasonBareCR
	// ReasonControl: a control byte where none is allowed.
	ReasonControl
	// ReasonFold: a header line began with white space.
	ReasonFold
	// ReasonFieldName: a header line without colon, with an empty name, with one that is not a token, or with one that some servers take for
	// that of a framing field.
	ReasonFieldName
	// ReasonEmptyLines: too many empty lines before a request.
	ReasonEmptyLines
	// ReasonHeadSize: a head too long to observe, or to add to.
	ReasonHeadSize
	// ReasonFieldCount: too many header lines to observe, or to add to.
	ReasonFieldCount
	// ReasonTargetForm: the target's form does not go with the method.
	ReasonTargetForm
	// ReasonNoHost: HTTP/1.1 without Host.
	ReasonNoHost
	// ReasonDuplicateHost: more than one Host.
	ReasonDuplicateHost
	// ReasonHostValue: white space or a comma within Host.
	ReasonHostValue
	// ReasonFramingTab: a tab around the value of Content-Length or Transfer-Encoding.
	ReasonFramingTab
	// ReasonCodings: chunked is not the only transfer coding, of this request or of one before it.
	ReasonCodings
	// ReasonTransferEncoding: the last transfer coding is not one chunked, the list is one that servers are known to read differently, or the
	// version has none.
	ReasonTransferEncoding
	// ReasonContentLength: a Content-Length that is not one number below 2^63.
	ReasonContentLength
	// ReasonLengthAndEncoding: both Content-Length and Transfer-Encoding.
	ReasonLengthAndEncoding
	// ReasonChunk: chunk framing that does not hold.
	ReasonChunk
	// ReasonTrailer: trailers beyond the limits.
	ReasonTrailer
	// ReasonPipeline: more unanswered requests than are remembered.
	ReasonPipeline
	// ReasonExpect: refused with a final status before the body that waits for 100 (Continue): what comes next is ambiguous.
	ReasonExpect
	// ReasonEarlyFinal: answered, and to be closed, before the request's body had ended.
	ReasonEarlyFinal
	// ReasonAfterClose: bytes after a message that announced the close of the connection.
	ReasonAfterClose
	// ReasonUnsolicited: the server spoke while no request was unanswered.
	ReasonUnsolicited
	// ReasonUpgradePending: the client went on before its Upgrade was answered.
	ReasonUpgradePending
	// ReasonUpgraded: 101 (Switching Protocols).
	ReasonUpgraded
	// ReasonConnectPending: the client went on before its CONNECT was answered.
	ReasonConnectPending
	// ReasonConnectBody: a CONNECT that announces a body.
	ReasonConnectBody
	// ReasonTunnel: CONNECT succeeded.
	ReasonTunnel

	// NumReasons is the number of values of Reason.
	NumReasons
)

// reasonNames is indexed by Reason.
var reasonNames = [NumReasons]string{
	ReasonNone: "none", ReasonUnknown: "unknown_protocol", ReasonServerFirst: "server_first", ReasonPort: "port",
	ReasonDisabled: "disabled", ReasonTLS: "tls", ReasonHTTP2: "http2", ReasonProxyProtocol: "proxy_protocol",
	ReasonSlowHead: "slow_head", ReasonSplitHead: "split_head", ReasonNoInject: "no_inject", ReasonSigned: "signed", ReasonNoHeaders: "no_headers",

	ReasonRequestLine: "request_line", ReasonStatusLine: "status_line", ReasonVersion: "version", ReasonBareLF: "bare_lf",
	ReasonBareCR: "bare_cr", ReasonControl: "control_byte", ReasonFold: "fold", ReasonFieldName: "field_name",
	ReasonEmptyLines: "empty_lines", ReasonHeadSize: "head_size", ReasonFieldCount: "field_count",
	ReasonTargetForm: "target_form", ReasonNoHost: "no_host", ReasonDuplicateHost: "duplicate_host", ReasonHostValue: "host_value",
	ReasonFramingTab: "framing_tab", ReasonCodings: "codings", ReasonTransferEncoding: "transfer_encoding",
	ReasonContentLength: "content_length", ReasonLengthAndEncoding: "length_and_encoding", ReasonChunk: "chunk",
	ReasonTrailer: "trailer", ReasonPipeline: "pipeline",
	ReasonExpect: "expect", ReasonEarlyFinal: "early_final", ReasonAfterClose: "after_close", ReasonUnsolicited: "unsolicited",
	ReasonUpgradePending: "upgrade_pending", ReasonUpgraded: "upgraded", ReasonConnectPending: "connect_pending",
	ReasonConnectBody: "connect_body", ReasonTunnel: "tunnel",
}

// String returns the name of r as it stands in metrics.
func (r Reason) String() string {
	if r < NumReasons {
		return reasonNames[r]
	}
	return "invalid"
}
