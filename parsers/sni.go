package parsers

// This file finds the server's name in the first bytes of TLS, for the record of a session that is relayed untouched. It only looks: nothing
// waits for what has not come yet.

// maxServerName is the longest name in DNS, dots included (RFC 1035 §2.3.4).
const maxServerName = 253

// helloServerName returns the host name that a TLS client asks for (SNI, RFC 6066 §3), from the ClientHello (RFC 8446 §4.1.2) that first begins
// with; "" when there is none, when it has not come whole in the first record, or when it is no host name.
func helloServerName(first []byte) string {
	record := peek(first).skip(3).block(2) // its type and version were looked at by sniffTLS
	if len(record) == 0 || record[0] != 1 {
		return ""
	}
	hello := record.skip(1).block(3).skip(2 + 32) // version, random
	extensions := hello.past(1).past(2).past(1).block(2)
	for len(extensions) >= 4 {
		kind, rest := extensions[:2], extensions[2:]
		body := rest.block(2)
		if kind[0] == 0 && kind[1] == 0 { // server_name
			return firstHostName(body.block(2))
		}
		extensions = rest.past(2)
	}
	return ""
}

// firstHostName returns the name in a list of one, which is all that is in use (RFC 6066 allows one of each type, and has one type).
func firstHostName(list peek) string {
	if len(list) < 3 || list[0] != 0 {
		return ""
	}
	length := int(list[1])<<8 | int(list[2])
	name := list[3:]
	if length == 0 || length > len(name) || length > maxServerName {
		return ""
	}
	for _, c := range name[:length] {
		if class[c]&isToken == 0 {
			return ""
		}
	}
	return string(name[:length])
}

// peek is the rest of a structure, as much of it as has come. Its methods return less, and nothing at last, where it has too few bytes.
type peek []byte

// skip returns what follows n bytes.
func (p peek) skip(n int) peek { return p[min(n, len(p)):] }

// size reads a length of n bytes.
func (p peek) size(n int) (length int, ok bool) {
	if len(p) < n {
		return 0, false
	}
	for _, b := range p[:n] {
		length = length<<8 | int(b)
	}
	return length, true
}

// block returns the block that p begins with, its length standing before it in n bytes; what has come of it.
func (p peek) block(n int) peek {
	length, ok := p.size(n)
	if !ok {
		return nil
	}
	return p[n:min(n+length, len(p))]
}

// past returns what follows that block.
func (p peek) past(n int) peek {
	length, ok := p.size(n)
	if !ok {
		return nil
	}
	return p.skip(n + length)
}
