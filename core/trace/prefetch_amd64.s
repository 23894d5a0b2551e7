#include "textflag.h"

// PREFETCHT0: into all levels of cache (Intel SDM vol. 2B). It never faults.

// func prefetchLine(line *joinLine)
TEXT ·prefetchLine(SB), NOSPLIT, $0-8
	MOVQ line+0(FP), AX
	PREFETCHT0 (AX)
	RET

// func prefetchEntry(e *joinEntry)
TEXT ·prefetchEntry(SB), NOSPLIT, $0-8
	MOVQ e+0(FP), AX
	PREFETCHT0 (AX)
	RET
