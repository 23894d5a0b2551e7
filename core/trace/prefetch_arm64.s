#include "textflag.h"

// PRFM PLDL1KEEP: for a load, into the first level of cache (Arm ARM C6.2). It never faults.

// func prefetchLine(line *joinLine)
TEXT ·prefetchLine(SB), NOSPLIT, $0-8
	MOVD line+0(FP), R0
	PRFM (R0), PLDL1KEEP
	RET

// func prefetchEntry(e *joinEntry)
TEXT ·prefetchEntry(SB), NOSPLIT, $0-8
	MOVD e+0(FP), R0
	PRFM (R0), PLDL1KEEP
	RET
