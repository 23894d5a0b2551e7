package main

import (
	"bufio"
	"io"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// collectAt is the growth of the heap, in per cent, at which it is collected: the runtime's minimum of 4 MiB shrinks with it to 1
// MiB. A relay allocates nothing per request, so collections stay rare.
const collectAt = 25

// tuneCollector makes the heap small. A GOGC of the environment wins; GOMEMLIMIT works as ever.
func tuneCollector() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectAt)
	}
}

// releaseStartMemory gives back what only the start needed: the free heap, and the pages of the program itself that parsing
// settings and building the parts touched, more than half of them. The kernel maps a page again, from its cache, when it is used
// again.
func releaseStartMemory() {
	debug.FreeOSMemory()
	smaps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer smaps.Close()
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	for _, m := range cleanMappings(smaps, self) {
		forget(m.start, m.length)
	}
}

// mapping is a part of the address space.
type mapping struct{ start, length uintptr }

// cleanMappings reads /proc/self/smaps (man 5 proc_pid_smaps) and returns the read-only mappings of the file self whose pages are
// all the file's: none was written to, by a dynamic loader or a debugger, since "Anonymous" is 0.
func cleanMappings(smaps io.Reader, self string) []mapping {
	var found []mapping
	var current mapping
	candidate := false
	for lines := bufio.NewScanner(smaps); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if len(f) > 0 && !strings.HasSuffix(f[0], ":") {
			current, candidate = readOnlyMapping(f, self)
		}
		if candidate && len(f) == 3 && f[0] == "Anonymous:" && f[1] == "0" {
			found = append(found, current)
		}
	}
	return found
}

// readOnlyMapping reads the fields of a mapping's first line, "start-end perms offset dev inode path"; ok: it maps the file self,
// privately and not writable.
func readOnlyMapping(f []string, self string) (m mapping, ok bool) {
	if len(f) != 6 || f[5] != self || len(f[1]) != 4 || f[1][0] != 'r' || f[1][1] != '-' || f[1][3] != 'p' {
		return m, false
	}
	lo, hi, _ := strings.Cut(f[0], "-")
	from, errFrom := strconv.ParseUint(lo, 16, 64)
	to, errTo := strconv.ParseUint(hi, 16, 64)
	if errFrom != nil || errTo != nil || to <= from {
		return m, false
	}
	return mapping{start: uintptr(from), length: uintptr(to - from)}, true
}

// forget drops the mapping's pages from this process (man 2 madvise). For a private mapping of a file that was not written to,
// they are the file's, and come back unchanged.
func forget(start, length uintptr) {
	// Safety: the range is a mapping of the program itself, which exists as long as the process, and is not read here.
	_ = unix.Madvise(unsafe.Slice((*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&start))), length), unix.MADV_DONTNEED)
}
