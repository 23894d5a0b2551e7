package trace

import "sync"

// otherName stands for the names beyond the bound of a set.
const otherName = "{other}"

// Numbers that mean the same in every set.
const (
	// noID: no name.
	noID uint32 = iota
	// otherID is that of otherName.
	otherID
	// firstID is that of the first name.
	firstID
)

// nameSet numbers the distinct names seen by the process, up to a bound. It is consulted when a loop meets a name for the first time; from
// then on the loop's own cache knows the number.
type nameSet struct {
	mu    sync.Mutex
	max   int
	ids   map[string]uint32
	names []string // by number
}

// init sets how many names there may be.
func (s *nameSet) init(max int) {
	s.max = max
	s.ids = map[string]uint32{otherName: otherID} // whoever is called so is one of them
	s.names = []string{noID: "", otherID: otherName}
}

// admit returns the number of a name, giving it one while there is room, else otherID.
func (s *nameSet) admit(name []byte) uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id, ok := s.ids[string(name)]; ok {
		return id
	}
	if len(s.names)-int(firstID) >= s.max {
		return otherID
	}
	id, text := uint32(len(s.names)), string(name)
	s.ids[text] = id
	s.names = append(s.names, text)
	return id
}

// all returns the names by number. The caller must not change them; names that come later are missing.
func (s *nameSet) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.names[:len(s.names):len(s.names)]
}

// OperationNames returns the names that Active.Operation numbers: 0 is none, 1 is {other}. Any goroutine; read only.
func (s *Shared) OperationNames() []string { return s.operations.all() }

// PeerNames returns the names that Active.Peer numbers, as OperationNames does.
func (s *Shared) PeerNames() []string { return s.peers.all() }
