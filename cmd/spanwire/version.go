package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/spanwire/spanwire/admin"
)

// version and commit are set by the linker (-X main.version=…); nothing else writes them.
var version, commit string

func versionCommand() *cli.Command {
	return &cli.Command{Name: "version", Usage: "say which build this is", Action: func(c *cli.Context) error {
		if err := noArguments(c); err != nil {
			return err
		}
		b := build()
		_, err := fmt.Fprintf(c.App.Writer, "spanwire %s\ncommit %s\n%s\n%s\n", b.Version, b.Commit, b.Go, b.Platform)
		return err
	}}
}

// build says which build this is: what the linker was told, else what the toolchain noted.
func build() admin.Build {
	b := admin.Build{Version: version, Commit: commit, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if b.Version == "" && ok {
		b.Version = strings.Trim(info.Main.Version, "()") // "(devel)" for a build within a work tree
	}
	if b.Version == "" {
		b.Version = "devel"
	}
	if b.Commit == "" && ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				b.Commit = s.Value
			}
		}
	}
	if b.Commit == "" {
		b.Commit = "unknown"
	}
	return b
}
