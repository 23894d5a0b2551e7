package trace

// The language has no prefetch, and a plain load would hold up everything behind it until the line is there.

// prefetchLine asks for line.
//
//go:noescape
func prefetchLine(line *joinLine)

// prefetchEntry asks for the cache line of e.
//
//go:noescape
func prefetchEntry(e *joinEntry)
