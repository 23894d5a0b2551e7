package trace

// This file tells text that a random generator made (base62, base64url, base58, base32, nanoid, …) from names that people made.
//
// Each pair of neighbours in a text speaks for one or the other by its weight: how much more often such a pair occurs in random
// text than in 40 000 identifiers and file names of the Go distribution, as four times the natural logarithm of the ratio. The sum of
// the weights is the logarithm of the likelihood ratio of a model that knows pairs only. Of random base62 it misses one text in six of
// 12 characters, one in 25 of 16, one in 70 of 22; of the names it takes a handful for random (VerifyPKCS1v15). TestFewIdentifiersEscape
// counts.

// The weights of pairs.
const (
	weightCommon     = -6 // two letters that often follow each other in words
	weightRare       = 8  // two that do not
	weightWord       = -2 // a capital behind a small letter: a word begins
	weightToDigit    = 11
	weightFromDigit  = 14
	weightDigitDigit = 0 // a row of digits is looked at elsewhere
)

// commonPairs has, for each letter, a bit for each letter that follows it in more than one of 1200 pairs, more than half of what chance
// would give; these are 93 % of all pairs.
var commonPairs = [26]uint32{
	0x19ebd4e, 0x1104911, 0x01e4dd1, 0x0164919, 0x0efb87f, 0x01a4931, 0x0066114, 0x00a5111, 0x2aef87f,
	0x0000000, 0x0000110, 0x11c4919, 0x010d113, 0x03c657d, 0x07efd6f, 0x01acd11, 0x0100000, 0x13e5d5d,
	0x11cc995, 0x31ec195, 0x00eb937, 0x0000111, 0x0020101, 0x0088000, 0x00c8000, 0x0000110,
}

const (
	// minRandom is the length from which text that looks random is an identifier.
	minRandom = 10
	// minRandomMarks is the length from which it may have more than two dashes and underscores in it, as base64url has.
	minRandomMarks = 20
	// minRandomLetters is the length from which it needs no digit.
	minRandomLetters = 16
	// minWeight is the sum from which text is random: odds of twenty to one (4 × ln 20).
	minWeight = 12
)

// mix is what a text is made of.
type mix struct {
	weight                             int // the sum of its pairs' weights
	digits, lower, upper, words, marks int
	wordFirst                          bool // before its first mark stand small letters only
}

// mixOf looks at a text; ok is false when there is anything in it but letters, digits and marks.
func mixOf(v []byte) (m mix, ok bool) {
	last := byte(0) // the character before, 0 behind a mark
	for i := 0; i < len(v); i++ {
		c := v[i]
		switch classOf(c) {
		case 'd':
			m.digits++
		case 'l':
			m.lower++
		case 'u':
			m.upper++
		default:
			n := markLen(v[i:])
			if n == 0 {
				return m, false
			}
			if m.marks++; m.marks == 1 {
				m.wordFirst = m.lower == i && i > 1
			}
			last, i = 0, i+n-1
			continue
		}
		if last != 0 {
			w := pairWeight(last, c)
			m.weight += w
			if w == weightWord {
				m.words++
			}
		}
		last = c
	}
	return m, true
}

// isRandom reports whether all of v looks like text from a random generator.
func isRandom(v []byte) bool {
	if len(v) < minRandom {
		return false
	}
	m, ok := mixOf(v)
	switch {
	case !ok || m.wordFirst:
		return false
	case m.marks > 0 && m.upper == 0 && all(v, func(c byte) bool { return isHexDigit(c) || c == '-' }):
		return false // several hexadecimal numbers
	case m.marks > 2 && (len(v) < minRandomMarks || m.marks*5 > len(v)):
		return false
	case m.digits == 0:
		return len(v) >= minRandomLetters && m.words >= 2 && m.weight >= len(v)
	case m.marks > 0 && len(v) < minRandomMarks && (m.lower == 0 || m.upper == 0):
		return false // a slug, or the number of an article
	}
	return m.weight >= minWeight
}

// minPrefixed is the length of the identifiers behind prefixes such as cus_.
const minPrefixed = 12

// isPrefixed reports whether v, which stands behind small letters and an underscore, is the identifier of such a kind: less evidence will
// do.
func isPrefixed(v []byte) bool {
	if len(v) < minPrefixed {
		return false
	}
	m, ok := mixOf(v)
	return ok && m.marks == 0 && m.lower > 0 && m.upper > 0 && (m.digits > 0 || m.words >= 2 && m.weight > 0)
}

// classOf returns d for a digit, l and u for a small and a capital letter, 0 for anything else.
func classOf(c byte) byte {
	switch {
	case isDigit(c):
		return 'd'
	case 'a' <= c && c <= 'z':
		return 'l'
	case 'A' <= c && c <= 'Z':
		return 'u'
	}
	return 0
}

// pairWeight returns the weight of two neighbours, which are letters or digits.
func pairWeight(a, b byte) int {
	switch {
	case isDigit(a) && isDigit(b):
		return weightDigitDigit
	case isDigit(a):
		return weightFromDigit
	case isDigit(b):
		return weightToDigit
	case a >= 'a' && b <= 'Z':
		return weightWord
	case commonPairs[a|0x20-'a']>>(b|0x20-'a')&1 != 0:
		return weightCommon
	}
	return weightRare
}

// markLen returns the length of the mark that v begins with, 0 if there is none: a dash, an underscore, padding at the end, or one of the
// marks of base64, escaped.
func markLen(v []byte) int {
	switch {
	case v[0] == '-' || v[0] == '_':
		return 1
	case v[0] == '=' && len(v) <= 2:
		return 1
	case v[0] == '%' && len(v) >= 3 && (v[1] == '2' && (v[2]|0x20 == 'b' || v[2]|0x20 == 'f') || v[1] == '3' && v[2]|0x20 == 'd'):
		return 3
	}
	return 0
}
