package main

import (
	"bufio"
	"crypto/sha1" //nolint:gosec // RFC 6455 §4.2.2 asks for it
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// As much of WebSocket (RFC 6455) as two ends need that send each other binary frames: the sidecar is to carry what follows a 101.

// The opcodes of frames, RFC 6455 §5.2.
const (
	opBinary = 2
	opClose  = 8
)

// maxFrame bounds a frame's payload.
const maxFrame = 1 << 20

var errFrame = errors.New("bad frame")

// acceptKey answers a client's key, RFC 6455 §4.2.2.
func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // the same
	return base64.StdEncoding.EncodeToString(sum[:])
}

// acceptSocket answers the handshake and sends each frame back, until the client's close frame or its end.
func acceptSocket(w http.ResponseWriter, r *http.Request) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		w.WriteHeader(http.StatusNotImplemented)
		return
	}
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		acceptKey(r.Header.Get("Sec-WebSocket-Key")))
	for err == nil {
		var op byte
		var payload []byte
		if op, payload, err = readFrame(buffered.Reader); err == nil {
			_, err = conn.Write(appendFrame(nil, op, payload, nil))
		}
		if op == opClose {
			return
		}
	}
}

// readFrame reads a frame that is a whole message, and takes its mask off.
func readFrame(r *bufio.Reader) (op byte, payload []byte, err error) {
	var head [2]byte
	if _, err = io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	op = head[0] & 0x0F
	if head[0]&0x80 == 0 || op != opBinary && op != opClose {
		return 0, nil, errFrame
	}
	n := uint64(head[1] & 0x7F)
	if extended := map[uint64]int{126: 2, 127: 8}[n]; extended > 0 {
		var length [8]byte
		if _, err = io.ReadFull(r, length[8-extended:]); err != nil {
			return 0, nil, err
		}
		n = binary.BigEndian.Uint64(length[:])
	}
	if n > maxFrame {
		return 0, nil, errFrame
	}
	var mask [4]byte
	if head[1]&0x80 != 0 {
		if _, err = io.ReadFull(r, mask[:]); err != nil {
			return 0, nil, err
		}
	}
	payload = make([]byte, n)
	_, err = io.ReadFull(r, payload)
	for i := range payload {
		payload[i] ^= mask[i%4]
	}
	return op, payload, err
}

// appendFrame appends a frame that is a whole message, with a mask if there is one, as clients must (RFC 6455 §5.3).
func appendFrame(dst []byte, op byte, payload, mask []byte) []byte {
	masked := byte(0)
	if mask != nil {
		masked = 0x80
	}
	dst = append(dst, 0x80|op)
	switch n := len(payload); {
	case n < 126:
		dst = append(dst, masked|byte(n))
	case n < 1<<16:
		dst = binary.BigEndian.AppendUint16(append(dst, masked|126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, masked|127), uint64(n))
	}
	dst = append(dst, mask...)
	from := len(dst)
	dst = append(dst, payload...)
	if mask != nil {
		for i := range payload {
			dst[from+i] ^= mask[i%4]
		}
	}
	return dst
}
