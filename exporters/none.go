package exporters

// newNone makes the exporter none: every span is discarded, and counted as exported, so that the accounts hold.
func newNone(*Config) (*Exporter, error) { return &Exporter{}, nil }
