package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func run(t *testing.T, args ...string) (code int, out, diagnostics string) {
	t.Helper()
	var o, d bytes.Buffer
	code = spanbench(context.Background(), append([]string{"spanbench"}, args...), &o, &d)
	return code, o.String(), d.String()
}

func TestExitCodes(t *testing.T) {
	dir := t.TempDir()
	other := filepath.Join(dir, "other.json")
	if err := os.WriteFile(other, []byte(`{"schema":"spanload/1"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{args: []string{"--help"}, says: "figures"},
		{args: []string{"plan"}, says: "cells: 60, runs of each: 5"},
		{args: []string{"plan", "--quick"}, says: "cells: 12, runs of each: 3"},
		{args: []string{"plan", "--only", "mesh", "--peers", "envoy-*", "--runs", "2"}, says: "cells: 1, runs of each: 2"},
		{args: []string{"plan", "--only", "nothing"}, code: exitUsage, says: "nothing"},
		{args: []string{"plan", "--only", "small", "--only", "typo"}, code: exitUsage, says: `--only "typo" matches nothing (allowed here: bodies, `},
		{args: []string{"plan", "--peers", "direct,typo"}, code: exitUsage, says: `--peers "typo" matches nothing (allowed here: direct, `},
		{args: []string{"run", "--only", "small", "--only", "typo"}, code: exitUsage, says: `--only "typo"`},
		{args: []string{"plan", "--runs", "0"}, code: exitUsage, says: "--runs 0 (allowed: 1 or more)"},
		{args: []string{"plan", "--only", "many", "--idle", "120"}, says: "120 idle connections"},
		{args: []string{"plan", "--idle", "0"}, code: exitUsage, says: "--idle 0 (allowed: 1 to 25000)"},
		{args: []string{"plan", "--workers", "0"}, code: exitUsage, says: "--workers 0 (allowed: 1 to "},
		{args: []string{"plan", "more"}, code: exitUsage, says: `"more"`},
		{args: []string{"nonsense"}, code: exitUsage, says: "nonsense"},
		{args: []string{"run", "--no-such-flag"}, code: exitUsage, says: "no-such-flag"},
		{args: []string{"figures", "--measure", "10ms"}, code: exitUsage, says: "--measure 10ms (allowed: 1s or more)"},
		{args: []string{"figures", "--only", "nothing"}, code: exitFailed, says: "otlp-32-http"},
		{args: []string{"compare", "one.json"}, code: exitUsage, says: "two"},
		{args: []string{"compare", other, other}, code: exitFailed, says: "spanload/1"},
		{args: []string{"compare", other, other, "--threshold", "0.5"}, code: exitFailed, says: "spanload/1"},
		{args: []string{"compare", other, "--threshold=0.5", other, "--all"}, code: exitFailed, says: "spanload/1"},
		{args: []string{"compare", other, other, "--threshold"}, code: exitUsage, says: "threshold"},
		{args: []string{"compare", other, other, "--", "--all"}, code: exitUsage, says: "two"},
		{args: []string{"report", filepath.Join(dir, "none.json")}, code: exitFailed, says: "none.json"},
		{args: []string{"run", "--bin", dir, "--out", dir}, code: exitFailed, says: "make build"},
	} {
		code, out, diagnostics := run(t, c.args...)
		if code != c.code || !strings.Contains(out+diagnostics, c.says) {
			t.Errorf("spanbench %s: exit %d, want %d and %q:\n%s%s", strings.Join(c.args, " "), code, c.code, c.says, out, diagnostics)
		}
	}
}
