package core

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// The heads that the model is sure about: all parsers read them alike. What else comes, it only bounds.
var (
	plainRequest  = regexp.MustCompile(`\A([A-Z]{1,16}) /[!-~]* HTTP/1\.[01]\r\n((?:[A-Za-z0-9-]+: ?[ -~]*\r\n)*)\r\n\z`)
	plainResponse = regexp.MustCompile(`\AHTTP/1\.[01] [1-5][0-9][0-9](?: [ -~]*)?\r\n((?:[A-Za-z0-9-]+: ?[ -~]*\r\n)*)\r\n\z`)
	plainLength   = regexp.MustCompile(`\A[0-9]{1,9}\z`)
	chunkSize     = regexp.MustCompile(`\A[0-9a-fA-F]{1,7}\r\n`)
	// requestLine ends every request line that the engine may take for one: no stream has more requests than this.
	requestLine = regexp.MustCompile(` HTTP/1\.[0-9]\r\n`)
	// contextName begins whatever may keep a request from being sampled.
	contextName = regexp.MustCompile(`(?i)b3|traceparent|uber|jaeger`)
)

const (
	// plainHeadBytes and plainFields are below every limit of the engine.
	plainHeadBytes = 6 << 10
	plainFields    = 80
	// plainPipeline is how many unanswered requests are certainly followed.
	plainPipeline = 60
)

// exchanged is a request that the model has seen, and its answer.
type exchanged struct {
	method    string
	status    int
	asked     int64 // bytes of the request
	answered  int64 // bytes of the final response
	whole     bool  // request and response are complete
	requested bool
}

// model follows a dialogue as it happens, with net/http, on heads that are beyond doubt. It knows how many requests the engine must
// have seen for as long as it is sure; from then on, at least as many, and at most as many as there are request lines.
type model struct {
	said   [2][]byte
	pos    [2]int // behind the last message that is complete
	asks   []exchanged
	next   int  // the request whose response comes next
	headed bool // the request in progress is among asks
	unsure bool // from here on only bounds are known
	opaque bool // it is certain that no further request is seen
	last   bool // the request before what comes now was to be the last
	ended  [2]bool
	vague  bool // a side left: what answers were seen is not known
	loose  bool // the response in progress ends with its connection
	hung   bool // what the client is in the middle of may be broken in a way that only its rest would tell
}

// lose says that the order of what follows is not known.
func (m *model) lose() { m.unsure = m.unsure || !m.opaque }

// done reports whether what comes tells the model nothing more.
func (m *model) done() bool { return m.unsure || m.opaque }

// hear takes what a side says.
func (m *model) hear(side int, b []byte) {
	if side == client && !m.done() && (m.ended[server] || m.inDoubt(server)) {
		m.lose()
	}
	m.said[side] = append(m.said[side], b...)
	for !m.done() {
		if side == client && !m.ask() || side == server && !m.answer() {
			return
		}
	}
}

// end takes a side's end.
func (m *model) end(side int) {
	m.ended[side] = true
	if side == server && m.loose && !m.done() {
		m.answered(len(m.said[server]) - m.pos[server])
		m.pos[server] = len(m.said[server])
	}
}

// inDoubt reports whether the message in which a side is now may be broken already, though that cannot be said yet.
func (m *model) inDoubt(side int) bool {
	rest := m.said[side][m.pos[side]:]
	if len(rest) == 0 || side == server && m.loose {
		return false
	}
	msg := m.parse(side, rest)
	return msg.state != incomplete || !msg.counted
}

// ask takes the next request, as far as it has come; false when there is no more of it.
func (m *model) ask() bool {
	rest := m.said[client][m.pos[client]:]
	if len(rest) == 0 {
		return false
	}
	if m.last {
		m.lose()
		return false
	}
	msg := m.parse(client, rest)
	if msg.state == odd || msg.head > 0 && !m.headed && len(m.asks)-m.next >= plainPipeline {
		m.unsure = true
		return false
	}
	if msg.head == 0 {
		return false
	}
	if !m.headed {
		m.headed = true
		m.asks = append(m.asks, exchanged{method: msg.method})
	}
	if msg.state != complete {
		return false
	}
	x := &m.asks[len(m.asks)-1]
	x.asked, x.requested = int64(msg.total), true
	x.whole = x.answered > 0
	m.headed = false
	m.pos[client] += msg.total
	m.last = m.last || msg.last
	return true
}

// answer takes the next response.
func (m *model) answer() bool {
	rest := m.said[server][m.pos[server]:]
	if len(rest) == 0 || m.loose {
		return false
	}
	if m.next == len(m.asks) || m.last && m.next > 0 && m.asks[m.next-1].status < 0 {
		m.opaque = true // unsolicited
		return false
	}
	msg := m.parse(server, rest)
	switch {
	case msg.state == odd:
		m.unsure = true
		return false
	case msg.head == 0:
		return false
	case msg.status == 101:
		m.opaque, m.vague = true, true
		return false
	}
	if msg.status >= 200 {
		m.asks[m.next].status = msg.status
		if msg.last && m.headed {
			m.unsure = true // it will not take the rest of the request
			return false
		}
	}
	m.loose = msg.loose
	if msg.state != complete {
		return false
	}
	m.pos[server] += msg.total
	if msg.status >= 200 {
		m.answered(msg.total)
		if msg.last {
			m.unsure = true // both sides are about to leave; nothing that follows is a message
			return false
		}
	}
	return true
}

// answered notes that the response in progress is complete.
func (m *model) answered(total int) {
	x := &m.asks[m.next]
	x.answered, x.whole = int64(total), x.requested
	m.next++
	m.loose = false
}

// The states of a message.
const (
	incomplete = iota
	complete
	odd // the model makes no statement about it
)

// message is one message as the model reads it.
type message struct {
	state   int
	head    int // bytes of its head; 0 = that is not complete
	total   int
	method  string
	status  int
	last    bool // no further message follows it
	loose   bool // it ends with the connection
	counted bool // its length is known from its head
}

// parse reads the message at the beginning of b.
func (m *model) parse(side int, b []byte) message {
	if side == client {
		return parseAsk(b)
	}
	method := ""
	if m.next < len(m.asks) {
		method = m.asks[m.next].method
	}
	return parseAnswer(b, method)
}

// parseAsk reads a request.
func parseAsk(b []byte) (msg message) {
	head, fields := headOf(b, plainRequest)
	if head <= 0 {
		msg.state = -head
		return msg
	}
	msg.head = head
	if !msg.frame(fields, bytes.Contains(b[:head], []byte(" HTTP/1.0\r\n"))) {
		return message{state: odd}
	}
	r := bufio.NewReader(bytes.NewReader(b))
	req, err := http.ReadRequest(r)
	if err != nil || req.Method == "CONNECT" || req.Method == "PRI" || req.Method == "PROXY" {
		return message{state: odd}
	}
	msg.method = req.Method
	msg.body(b, req.Body, r, req.TransferEncoding != nil)
	return msg
}

// parseAnswer reads a response to a request of that method.
func parseAnswer(b []byte, method string) (msg message) {
	head, fields := headOf(b, plainResponse)
	if head <= 0 {
		msg.state = -head
		return msg
	}
	msg.head = head
	old := bytes.HasPrefix(b, []byte("HTTP/1.0"))
	if !msg.frame(fields, old) {
		return message{state: odd}
	}
	r := bufio.NewReader(bytes.NewReader(b))
	resp, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		return message{state: odd}
	}
	msg.status = resp.StatusCode
	none := method == "HEAD" || resp.StatusCode < 200 || resp.StatusCode == 204 || resp.StatusCode == 304
	if chunked := resp.TransferEncoding != nil; none && chunked {
		return message{state: odd}
	}
	if !none && resp.ContentLength < 0 && resp.TransferEncoding == nil {
		msg.loose = true
		return msg
	}
	msg.body(b, resp.Body, r, resp.TransferEncoding != nil)
	return msg
}

// headOf returns the length of the head at the beginning of b and its fields: 0 when it is not complete, -odd when the model makes no
// statement about it.
func headOf(b []byte, plain *regexp.Regexp) (head int, fields string) {
	i := bytes.Index(b, []byte("\r\n\r\n"))
	if i < 0 {
		if len(b) > plainHeadBytes {
			return -odd, ""
		}
		return 0, ""
	}
	m := plain.FindSubmatch(b[:i+4])
	if m == nil || i > plainHeadBytes || bytes.Count(m[len(m)-1], []byte("\r\n")) > plainFields {
		return -odd, ""
	}
	return i + 4, string(m[len(m)-1])
}

// frame looks at the fields that frame a message, and at those that say what becomes of its connection; false when there is
// any doubt about them.
func (msg *message) frame(fields string, old bool) bool {
	msg.last = old
	lengths, encodings := 0, 0
	for line := range strings.SplitSeq(fields, "\r\n") {
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch strings.ToLower(name) {
		case "content-length":
			lengths++
			if !plainLength.MatchString(value) {
				return false
			}
		case "transfer-encoding":
			encodings++
			if value != "chunked" || old {
				return false
			}
		case "connection":
			switch value {
			case "close":
				msg.last = true
			case "keep-alive":
			default:
				return false
			}
		case "upgrade", "expect", "trailer", "proxy-connection", "te", "authorization":
			return false
		}
	}
	return lengths+encodings <= 1
}

// body finds the end of a message with net/http, and holds it against a scan of the chunks.
func (msg *message) body(b []byte, body io.Reader, r *bufio.Reader, chunked bool) {
	_, err := io.Copy(io.Discard, body)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		msg.counted = !chunked
		return
	}
	rest, rerr := io.Copy(io.Discard, r)
	msg.total = len(b) - int(rest)
	if err != nil || rerr != nil || chunked && chunksEnd(b[msg.head:]) != msg.total-msg.head {
		msg.state = odd
		return
	}
	msg.state = complete
}

// chunksEnd returns the length of a chunked body without extensions and trailers, -1 if it is none.
func chunksEnd(b []byte) int {
	for i := 0; ; {
		line := chunkSize.Find(b[i:])
		if line == nil {
			return -1
		}
		n, err := strconv.ParseUint(string(line[:len(line)-2]), 16, 32)
		i += len(line)
		if err != nil || i+int(n)+2 > len(b) || string(b[i+int(n):i+int(n)+2]) != "\r\n" {
			return -1
		}
		if i += int(n) + 2; n == 0 {
			return i
		}
	}
}

// bounds returns how many requests the engine must and may have seen.
func (m *model) bounds() (least, most int) {
	least = len(m.asks)
	if !m.unsure {
		return least, least
	}
	return least, max(least, len(requestLine.FindAll(m.said[client], -1)))
}
