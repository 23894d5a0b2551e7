package netramesh

// Roles that this test binary plays in namespaces.
const (
	roleVariable   = "SPANWIRE_TEST_ROLE"
	binaryVariable = "SPANWIRE_TEST_BINARY"
	callerRole     = "caller"
)

// beCaller is the application behind redirect rules.
func beCaller() int { return 0 }
