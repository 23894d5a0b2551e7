package loadtest

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Kind says what became of a request: OK, or what was wrong with its answer.
type Kind uint8

// The kinds. Their names (String) are keys of Result.Errors and part of the JSON schema.
const (
	// OK: the answer came and every check held.
	OK Kind = iota
	// ErrConnect: the connection could not be opened.
	ErrConnect
	// ErrReset: the connection was reset before the answer was complete.
	ErrReset
	// ErrClosed: the server closed the connection before the answer was complete.
	ErrClosed
	// ErrTimeout: no complete answer within Config.Timeout.
	ErrTimeout
	// ErrStatus: a status code other than expected.
	ErrStatus
	// ErrLength: a body of another length than the server said.
	ErrLength
	// ErrHash: a body of another hash than the server said.
	ErrHash
	// ErrMalformed: the answer is not HTTP/1.1.
	ErrMalformed
	// ErrEcho: bytes came back that were not sent (TCP).
	ErrEcho
	// ErrUnsolicited: bytes came when no answer was due. Not about a request: it is counted beside them.
	ErrUnsolicited
	// NumKinds is the number of kinds.
	NumKinds
)

// String returns the name of the kind.
func (k Kind) String() string {
	names := [NumKinds]string{"ok", "connect", "reset", "closed", "timeout", "status", "length", "hash", "malformed", "echo", "unsolicited"}
	return names[k]
}

// Details of errors that are no system call's, for Result.FirstError. Preallocated: they occur on the data path.
var (
	errTimeout     = errors.New("no complete answer in time")
	errClosed      = errors.New("connection closed by the server before the answer was complete")
	errSuperseded  = errors.New("connection closed by the server after the answer to an earlier pipelined request")
	errStatus      = errors.New("unexpected status")
	errLength      = errors.New("body of another length than the server said")
	errHash        = errors.New("body of another hash than the server said")
	errEcho        = errors.New("echo differs from what was sent")
	errUnsolicited = errors.New("bytes came when no answer was due")
)

// kindOf returns the kind for an error of send or recv.
func kindOf(errno unix.Errno) Kind {
	switch errno {
	case unix.ETIMEDOUT:
		return ErrTimeout
	case unix.ECONNREFUSED, unix.EHOSTUNREACH, unix.ENETUNREACH:
		return ErrConnect
	}
	return ErrReset
}
