package server

// silent is the logger of fasthttp and gnet here: it drops what they say of clients that went away. Broken connections are part
// of the tests, and no news. What matters is returned as an error.
type silent struct{}

// Printf is fasthttp's.
func (silent) Printf(string, ...any) {}

// The others are gnet's, by severity.

// Debugf drops a message.
func (silent) Debugf(string, ...any) {}

// Infof drops a message.
func (silent) Infof(string, ...any) {}

// Warnf drops a message.
func (silent) Warnf(string, ...any) {}

// Errorf drops a message.
func (silent) Errorf(string, ...any) {}

// Fatalf drops a message; gnet returns the error besides.
func (silent) Fatalf(string, ...any) {}
