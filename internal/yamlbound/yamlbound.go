// Package yamlbound parses YAML of unknown origin in bounded memory. The parser gives each value the path that leads to it as a string of its
// own, so that what it takes grows with the values times their depth and the length of their keys: a few kilobytes of brackets, or one long
// key above many values, would end the process. What would cost that much is refused before it is parsed.
package yamlbound

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// MaxDepth bounds nesting: the parser recurses, too, and a Go stack that overflows ends the process.
const MaxDepth = 1000

// MaxKeys bounds the keys of a mapping in block style, together with those that come before its own place in the mappings around it: the parser
// recurses for each, and copies those before it.
const MaxKeys = 20_000

// maxProperties bounds the tags and anchors in front of one value, for which the parser recurses, too. YAML allows one of each.
const maxProperties = 8

// What the paths of a text may take together. Descriptions and manifests take some 10 bytes of paths for each of their own.
const (
	freePathBytes   = 8 << 20
	pathBytesPerOne = 32
)

// maxIndicators bounds the indicators of one line, without a comma between them, before there are tokens.
const maxIndicators = 64 * MaxDepth

// Error is what is too much for the parser, and where it begins to be.
type Error struct {
	// Line and Column count from 1; a column is a character, not a byte.
	Line, Column int
	Message      string
}

// Error implements error.
func (e *Error) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Message)
}

// ErrFault stands for a panic of the parser, which some texts that are no YAML bring about.
var ErrFault = errors.New("not YAML")

// Parse parses a text without its comments. The error is an *Error when the text would take too much memory, else the parser's.
func Parse(text string) (file *ast.File, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			file, err = nil, ErrFault
		}
	}()
	tokens, err := tokenize(text)
	if err != nil {
		return nil, err
	}
	return parser.Parse(tokens, 0)
}

// Tokenize cuts a text into tokens; a text that Parse would refuse for its cost is refused here with the same *Error.
func Tokenize(text string) (tokens token.Tokens, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			tokens, err = nil, ErrFault
		}
	}()
	return tokenize(text)
}

func tokenize(text string) (token.Tokens, error) {
	if err := CheckText(text); err != nil {
		return nil, err
	}
	tokens := lexer.Tokenize(text)
	m := measure{most: freePathBytes + pathBytesPerOne*len(text)}
	for _, t := range tokens {
		if t.Type == token.CommentType {
			continue
		}
		if err := m.take(t); err != nil {
			return nil, err
		}
	}
	return tokens, nil
}

// CheckText refuses what is far too deep before there is a token for each of its bytes. It takes brackets within scalars for brackets,
// too; a thousand that do not pair are a lot for those as well.
func CheckText(text string) error {
	brackets, indicators, line, begin := 0, 0, 1, 0
	for i := range len(text) {
		switch text[i] {
		case '\n':
			line, begin, indicators = line+1, i+1, 0
		case ',':
			indicators = 0
		case '[', '{':
			brackets++
		case ']', '}':
			brackets = max(brackets-1, 0)
		case '-', '?', '&', '!', ':':
			indicators++
		}
		if brackets > MaxDepth || indicators > maxIndicators {
			return tooDeep(line, utf8.RuneCountInString(text[begin:i])+1)
		}
	}
	return nil
}

func tooDeep(line, column int) *Error {
	return &Error{line, column, fmt.Sprintf("nested too deeply: more than the %d levels that are allowed", MaxDepth)}
}
