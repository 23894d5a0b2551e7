package main

import (
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

// watchSignals takes over the signals that a sidecar answers. A reader of the log that went away must not end the traffic, so
// SIGPIPE is ignored.
func watchSignals() <-chan os.Signal {
	signal.Ignore(syscall.SIGPIPE)
	signals := make(chan os.Signal, 4) // one of each, and one to spare
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	return signals
}

// awaitEnd returns what told the process to end, and how many signals that took; or why it cannot go on.
func awaitEnd(signals <-chan os.Signal, quit <-chan struct{}, failed <-chan error, log *slog.Logger) (cause string, taken int, err error) {
	for {
		select {
		case sig := <-signals:
			if !ignored(sig, log) {
				return sig.String(), 1, nil
			}
		case <-quit:
			return "quitquitquit", 0, nil
		case err := <-failed:
			return "", 0, err
		}
	}
}

// ignored reports whether the signal means nothing here, with one line: settings are read once, at the start.
func ignored(sig os.Signal, log *slog.Logger) bool {
	if sig != syscall.SIGHUP {
		return false
	}
	log.Info("SIGHUP is ignored: settings are read at the start only")
	return true
}
