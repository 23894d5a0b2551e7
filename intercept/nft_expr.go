package intercept

import (
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Offsets in bytes. RFC 9293 §3.1 and RFC 768: the destination port; the flags of TCP. RFC 791 §3.1 and RFC 8200 §3: the destination.
const (
	portOffset  = 2
	flagsOffset = 13
	to4Offset   = 16
	to6Offset   = 24
)

// synOnly and synMask: SYN alone of FIN, SYN, RST and ACK.
const (
	synOnly = 0x02
	synMask = 0x17
)

// rtnLocal is the type of an address of this host in the kernel's routing (man 7 rtnetlink).
const rtnLocal = unix.RTN_LOCAL

// ruleExprs translates a rule. port is the sidecar's, alive the set of heartbeats where there is one.
func ruleExprs(r rule, port uint16, alive *nftables.Set) []expr.Any {
	var e []expr.Any
	for _, m := range r.matches {
		e = append(e, matchExprs(m, alive)...)
	}
	switch r.do {
	case actReturn:
		return append(e, &expr.Verdict{Kind: expr.VerdictReturn})
	case actGoto:
		return append(e, &expr.Verdict{Kind: expr.VerdictGoto, Chain: r.to})
	case actRedirect:
		return append(e, &expr.Immediate{Register: 1, Data: binaryutil.BigEndian.PutUint16(port)},
			&expr.Redir{RegisterProtoMin: 1, RegisterProtoMax: 1, Flags: unix.NF_NAT_RANGE_PROTO_SPECIFIED})
	case actBeat:
		return append(e, &expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, &expr.Dynset{SrcRegKey: 1, SetName: alive.Name,
			SetID: alive.ID, Operation: unix.NFT_DYNSET_OP_UPDATE, Timeout: aliveFor})
	}
	panic("BUG: unknown action")
}

// matchExprs translates a match.
func matchExprs(m match, alive *nftables.Set) []expr.Any {
	is := expr.CmpOpEq
	if m.not {
		is = expr.CmpOpNeq
	}
	switch m.kind {
	case matchTCP:
		return protocol(unix.IPPROTO_TCP, is)
	case matchSYN:
		return append(protocol(unix.IPPROTO_TCP, is),
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: flagsOffset, Len: 1},
			&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{synMask}, Xor: []byte{0}},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{synOnly}})
	case matchUDP:
		return append(protocol(unix.IPPROTO_UDP, is), portExprs(m.ports)...)
	case matchPorts:
		return append(protocol(unix.IPPROTO_TCP, is), portExprs(m.ports)...)
	case matchTo:
		return toExprs(m.prefix)
	case matchLocal:
		return []expr.Any{&expr.Fib{Register: 1, FlagDADDR: true, ResultADDRTYPE: true},
			&expr.Cmp{Op: is, Register: 1, Data: binaryutil.NativeEndian.PutUint32(rtnLocal)}}
	case matchLoopback:
		name := make([]byte, unix.IFNAMSIZ)
		copy(name, "lo")
		return []expr.Any{&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1}, &expr.Cmp{Op: is, Register: 1, Data: name}}
	case matchUID:
		return []expr.Any{&expr.Meta{Key: expr.MetaKeySKUID, Register: 1},
			&expr.Cmp{Op: is, Register: 1, Data: binaryutil.NativeEndian.PutUint32(m.id)}}
	case matchGID:
		return []expr.Any{&expr.Meta{Key: expr.MetaKeySKGID, Register: 1},
			&expr.Cmp{Op: is, Register: 1, Data: binaryutil.NativeEndian.PutUint32(m.id)}}
	case matchParts:
		// A comparison is one of bytes in order, so the number is turned first.
		return []expr.Any{&expr.Numgen{Register: 1, Modulus: Million, Type: unix.NFT_NG_RANDOM},
			&expr.Byteorder{SourceRegister: 1, DestRegister: 1, Op: expr.ByteorderHton, Len: 4, Size: 4},
			&expr.Cmp{Op: expr.CmpOpLt, Register: 1, Data: binaryutil.BigEndian.PutUint32(m.id)}}
	case matchAlive:
		return []expr.Any{&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
			&expr.Lookup{SourceRegister: 1, SetName: alive.Name, SetID: alive.ID}}
	case matchEstablished:
		return []expr.Any{&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
			&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: binaryutil.NativeEndian.PutUint32(expr.CtStateBitESTABLISHED),
				Xor: binaryutil.NativeEndian.PutUint32(0)},
			&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: binaryutil.NativeEndian.PutUint32(0)}}
	}
	panic("BUG: unknown match")
}

// protocol compares the transport protocol.
func protocol(number byte, op expr.CmpOp) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, &expr.Cmp{Op: op, Register: 1, Data: []byte{number}}}
}

// portExprs compares the destination port; the protocol has been.
func portExprs(r PortRange) []expr.Any {
	load := &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: portOffset, Len: 2}
	if r.Low == r.High {
		return []expr.Any{load, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.BigEndian.PutUint16(r.Low)}}
	}
	return []expr.Any{load, &expr.Cmp{Op: expr.CmpOpGte, Register: 1, Data: binaryutil.BigEndian.PutUint16(r.Low)},
		&expr.Cmp{Op: expr.CmpOpLte, Register: 1, Data: binaryutil.BigEndian.PutUint16(r.High)}}
}

// toExprs compares family and destination.
func toExprs(p netip.Prefix) []expr.Any {
	family, offset, size := byte(unix.NFPROTO_IPV4), uint32(to4Offset), uint32(4)
	if p.Addr().Is6() {
		family, offset, size = unix.NFPROTO_IPV6, to6Offset, 16
	}
	e := []expr.Any{&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{family}}}
	if p.Bits() == 0 {
		return e
	}
	e = append(e, &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: size})
	if p.Bits() < p.Addr().BitLen() {
		mask := make([]byte, size)
		for i := range p.Bits() {
			mask[i/8] |= 0x80 >> (i % 8)
		}
		e = append(e, &expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: size, Mask: mask, Xor: make([]byte, size)})
	}
	return append(e, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: p.Addr().AsSlice()})
}
