package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// websocket opens one, has some frames sent back, and ends it: mostly by a close frame, sometimes by going away.
func websocket(ctx context.Context, c *client) {
	c.tally.done(c.kind, 1, 0)
	conn, err := c.connect(ctx)
	if err != nil {
		c.tally.failed(c.kind, err)
		return
	}
	defer conn.Close()
	const key = "c29hay1zb2FrLXNvYWstMQ=="
	if _, err = fmt.Fprintf(conn, "GET /socket HTTP/1.1\r\nHost: soak\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n\r\n", key); err != nil {
		c.tally.failed(c.kind, err)
		return
	}
	r := bufio.NewReader(conn)
	response, err := http.ReadResponse(r, nil)
	if err != nil {
		c.tally.visibleRequest(c.side, 0)
		c.tally.failed(c.kind, err)
		return
	}
	_ = response.Body.Close()
	c.tally.visibleRequest(c.side, response.StatusCode)
	if response.StatusCode != http.StatusSwitchingProtocols || response.Header.Get("Sec-WebSocket-Accept") != acceptKey(key) {
		c.tally.failed(c.kind, fmt.Errorf("status %d, %v", response.StatusCode, response.Header))
		return
	}
	frames := 10 + c.random.IntN(30)
	for range frames {
		time.Sleep(75 * time.Millisecond)
		if err := c.frame(conn, r, opBinary, patterned(c.random.Uint64(), c.frameBytes())); err != nil {
			c.tally.failed(c.kind, err)
			return
		}
	}
	if c.random.IntN(4) == 0 {
		return // without a word
	}
	if err := c.frame(conn, r, opClose, []byte{0x03, 0xE8}); err != nil { // 1000, a normal closure: RFC 6455 §7.4.1
		c.tally.failed(c.kind, err)
	}
}

// frameBytes draws a length in each of the three forms that a frame's head has.
func (c *client) frameBytes() int {
	return c.random.IntN([...]int{126, 4096, 100_000}[c.random.IntN(3)])
}

// frame sends one frame and compares what comes back.
func (c *client) frame(conn net.Conn, r *bufio.Reader, op byte, payload []byte) error {
	// The limit is each frame's: a dialogue of forty takes its time on a machine with much else to do.
	if err := conn.SetDeadline(time.Now().Add(c.targets.limit)); err != nil {
		return err
	}
	mask := binary.BigEndian.AppendUint32(nil, c.random.Uint32())
	if _, err := conn.Write(appendFrame(nil, op, payload, mask)); err != nil {
		return err
	}
	gotOp, got, err := readFrame(r)
	if err != nil {
		if errors.Is(err, errFrame) {
			c.tally.differs(c.kind, 0, len(payload))
		}
		return err
	}
	if gotOp != op || !bytes.Equal(got, payload) {
		c.tally.differs(c.kind, len(got), len(payload))
	}
	c.tally.done(c.kind, 0, len(got))
	return nil
}
