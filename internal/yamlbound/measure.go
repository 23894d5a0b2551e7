package yamlbound

import (
	"fmt"

	"github.com/goccy/go-yaml/token"
)

// measure follows the nesting of tokens as the parser does, and adds up the paths that it would make. Where it cannot tell how the parser
// would nest, it takes the deeper way.
type measure struct {
	levels []level
	path   int // bytes of the path to the current place: the sum over levels
	keys   int // that come before the current place in the mappings around it: the sum over levels
	total  int // bytes of all paths so far
	most   int
	// line holds the tokens since the last indicator or the beginning of the line: what may become a key. below says that a tag stands
	// before them, on another line.
	line  []*token.Token
	below bool
	// open says that what stands in line is a key already, the top level, since "? " stands before it.
	open bool
	// properties counts the tags and anchors that follow each other: the parser nests each in the one before.
	properties int
	last       token.Type
}

// level is a collection, or a key that has its value below it.
type level struct {
	kind   kind
	column int
	bytes  int  // of the path
	index  int  // of a flow collection: the bytes without a key
	key    bool // of a flow collection: the current entry has its key
	nth    int  // of a key: which it is of its mapping, from 1
}

type kind uint8

const (
	kindFlow kind = iota
	kindSequence
	kindKey
)

// indexBytes is the most that the index of a sequence takes in a path, keyBytes what a key takes beside its name.
const (
	indexBytes = 12
	keyBytes   = 3
)

// take follows one token, no comment.
func (m *measure) take(t *token.Token) *Error {
	switch t.Type {
	case token.DocumentHeaderType, token.DocumentEndType:
		m.levels, m.path, m.keys = m.levels[:0], 0, 0
	case token.SequenceStartType:
		m.push(level{kind: kindFlow, bytes: indexBytes, index: indexBytes})
	case token.MappingStartType:
		m.push(level{kind: kindFlow})
	case token.SequenceEndType, token.MappingEndType:
		m.popBlock(0)
		m.pop()
	case token.CollectEntryType:
		m.entry()
	case token.SequenceEntryType:
		m.sequenceEntry(t)
	case token.MappingValueType:
		m.mappingValue(t)
	case token.MappingKeyType:
		m.below = endsInTag(m.line)
		m.key(level{kind: kindKey, column: t.Position.Column, bytes: keyBytes})
	}
	m.remember(t)
	switch {
	case t.Type == token.TagType || t.Type == token.AnchorType:
		m.properties++
	case m.last != token.AnchorType: // whose name is a token of its own
		m.properties = 0
	}
	m.last = t.Type
	switch {
	case len(m.levels) > MaxDepth:
		return tooDeep(t.Position.Line, t.Position.Column)
	case m.properties > maxProperties:
		return &Error{t.Position.Line, t.Position.Column, fmt.Sprintf("nested too deeply: more than the %d tags and anchors in front of one value that are allowed", maxProperties)}
	case m.keys > MaxKeys:
		return &Error{t.Position.Line, t.Position.Column, fmt.Sprintf("too many keys in one mapping and those around it: more than the %d that are allowed", MaxKeys)}
	case m.total > m.most:
		return &Error{t.Position.Line, t.Position.Column, fmt.Sprintf("nested too deeply, or below keys too long, for so many values: "+
			"their paths take more than the %d bytes that are allowed", m.most)}
	}
	return nil
}

func (m *measure) push(l level) {
	m.levels = append(m.levels, l)
	m.path += l.bytes
	m.total += m.path
	m.keys += l.nth
}

func (m *measure) pop() {
	if last := len(m.levels) - 1; last >= 0 {
		m.path -= m.levels[last].bytes
		m.keys -= m.levels[last].nth
		m.levels = m.levels[:last]
	}
}

// popBlock ends the levels in block style that a token in this column ends, up to the flow collection around it. It returns how many keys the
// mapping in the column had that ends with them, or goes on.
func (m *measure) popBlock(column int) (nth int) {
	for last := len(m.levels) - 1; last >= 0 && m.levels[last].kind != kindFlow && m.levels[last].column >= column; last-- {
		if l := m.levels[last]; l.kind == kindKey && l.column == column {
			nth = l.nth
		}
		m.pop()
	}
	return nth
}

// entry begins the next entry of a flow collection.
func (m *measure) entry() {
	m.popBlock(0)
	if last := len(m.levels) - 1; last >= 0 {
		l := &m.levels[last]
		m.path += l.index - l.bytes
		l.bytes, l.key = l.index, false
	}
	m.total += m.path
}

func (m *measure) sequenceEntry(t *token.Token) {
	if !endsInTag(m.line) {
		m.popBlock(t.Position.Column + 1)
		if last := len(m.levels) - 1; last >= 0 && m.levels[last].kind == kindSequence && m.levels[last].column == t.Position.Column {
			m.pop()
		}
	}
	m.push(level{kind: kindSequence, column: t.Position.Column, bytes: indexBytes})
}

// mappingValue takes the colon behind a key.
func (m *measure) mappingValue(colon *token.Token) {
	l := level{kind: kindKey, column: colon.Position.Column, bytes: keyBytes}
	if m.open {
		l.nth = -1 // "? " has counted the key
	}
	for _, t := range m.line {
		l.column = min(l.column, t.Position.Column)
		l.bytes += len(t.Value)
	}
	m.key(l)
}

// key takes a key whose value follows.
func (m *measure) key(l level) {
	m.total += m.path + l.bytes // the key has a path, too
	if last := len(m.levels) - 1; last >= 0 && m.levels[last].kind == kindFlow && !m.levels[last].key {
		// The value belongs to the entry, in whatever column it stands.
		flow := &m.levels[last]
		flow.bytes, flow.key = flow.bytes+l.bytes, true
		m.path += l.bytes
		m.total += m.path
		return
	}
	l.nth++
	if !m.below {
		l.nth += m.popBlock(l.column)
	}
	m.push(l)
}

// remember keeps what a later colon needs to know of a token.
func (m *measure) remember(t *token.Token) {
	switch t.Type {
	case token.DocumentHeaderType, token.DocumentEndType, token.SequenceStartType, token.MappingStartType, token.SequenceEndType,
		token.MappingEndType, token.CollectEntryType, token.SequenceEntryType, token.MappingValueType:
		m.line, m.below, m.open = m.line[:0], false, false
		return
	case token.MappingKeyType:
		m.line, m.open = m.line[:0], true
	}
	if len(m.line) > 0 && m.line[0].Position.Line != t.Position.Line {
		m.line, m.below = m.line[:0], endsInTag(m.line)
	}
	m.line = append(m.line, t)
	if last := len(m.levels) - 1; m.open && last >= 0 {
		m.levels[last].bytes += len(t.Value)
		m.path += len(t.Value)
		m.total += len(t.Value)
	}
}

// endsInTag reports whether the tokens end in a tag, with an anchor or without: the parser takes what follows a tag for its value, in whatever
// column it stands.
func endsInTag(tokens []*token.Token) bool {
	if n := len(tokens); n > 2 && tokens[n-2].Type == token.AnchorType {
		tokens = tokens[:n-2]
	}
	return len(tokens) > 0 && tokens[len(tokens)-1].Type == token.TagType
}
