package main

import (
	"errors"
	"strings"
	"testing"
)

func TestWorkers(t *testing.T) {
	for _, c := range []struct {
		value string
		cores int
		want  int
		says  string
	}{
		{value: "1", cores: 1, want: 1},
		{value: "1", cores: 2, want: 1},
		{value: "all", cores: 4, want: 4},
		{value: "3", cores: 8, want: 3},
		{value: "all", cores: 2, says: "--workers all needs 4 processors or more, here are 2"},
		{value: "2", cores: 2, says: "--workers 2 needs 4 processors or more, here are 2"},
		{value: "all", cores: 1, says: "needs 4 processors"},
		{value: "9", cores: 8, says: "--workers 9 (allowed: 1 to 8, or all)"},
		{value: "0", cores: 8, says: "--workers 0 (allowed"},
		{value: "many", cores: 8, says: "--workers many (allowed"},
	} {
		got, err := workers(c.value, c.cores)
		switch {
		case c.says != "" && (!errors.Is(err, errUsage) || !strings.Contains(err.Error(), c.says)):
			t.Errorf("--workers %s on %d cores: %v, want %q", c.value, c.cores, err, c.says)
		case c.says == "" && (err != nil || got != c.want):
			t.Errorf("--workers %s on %d cores: %d, %v; want %d", c.value, c.cores, got, err, c.want)
		}
	}
}
