package trace

// The language has no prefetch, and a plain load would hold up everything behind it until the line is there.

// prefetchSet asks for the first cache line of set.
//
//go:noescape
func prefetchSet(set *joinSet)

// prefetchEntry asks for the cache line of e.
//
//go:noescape
func prefetchEntry(e *joinEntry)
