package route

import (
	"bytes"
	"hash/maphash"
)

// cacheSlots is the size of a loop's cache of values, a power of two: test environments in use at a time are fewer.
const cacheSlots = 64

// Cache keeps the values that a loop has parsed, so that a value costs its parsing on its first sight only. It belongs to one loop.
type Cache struct {
	r     *Routes
	seed  maphash.Seed
	slots [cacheSlots]cacheSlot
}

// cacheSlot is one value; raw is reused.
type cacheSlot struct {
	hash uint64
	raw  []byte
	v    *Value
}

// NewCache makes a cache for one loop.
func (r *Routes) NewCache() *Cache { return &Cache{r: r, seed: maphash.MakeSeed()} }

// Parse is Routes.Parse from memory. Loop goroutine only.
func (c *Cache) Parse(text []byte) *Value {
	text = bytes.TrimSpace(text)
	if len(text) > MaxValueBytes {
		return nil
	}
	hash := maphash.Bytes(c.seed, text)
	slot := &c.slots[hash&(cacheSlots-1)]
	if slot.hash != hash || !bytes.Equal(slot.raw, text) || slot.raw == nil {
		*slot = cacheSlot{hash: hash, raw: append(slot.raw[:0], text...), v: c.r.Parse(text)}
	}
	return slot.v
}
