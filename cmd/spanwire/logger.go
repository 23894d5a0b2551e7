package main

import (
	"io"
	"log/slog"

	"github.com/spanwire/spanwire/settings"
)

// newLogger makes the log: one line an event on stderr, its level changeable while it runs.
func newLogger(stderr io.Writer, c *settings.Config) (*slog.Logger, *slog.LevelVar) {
	level := new(slog.LevelVar)
	level.Set(c.LogLevel)
	options := &slog.HandlerOptions{Level: level}
	if c.LogJSON {
		return slog.New(slog.NewJSONHandler(stderr, options)), level
	}
	return slog.New(slog.NewTextHandler(stderr, options)), level
}

// levelSetter returns what POST /loglevel calls.
func levelSetter(level *slog.LevelVar) func(string) (string, error) {
	return func(name string) (string, error) {
		if name != "" {
			l, err := settings.ParseLevel(name)
			if err != nil {
				return "", err
			}
			level.Set(l)
		}
		return level.Level().String(), nil
	}
}
