package step

import "strings"

// Enumerator is a member of a kernel's enumeration.
type Enumerator struct {
	Name  string
	Value uint64
}

// maxBits is the number of bits of a mask. An enumerator of this value or more has no bit.
const maxBits = 64

// End returns the __MAX_… enumerator of an enumeration, or one more than its
// last bit where the kernel has no such enumerator.
func End(list []Enumerator) uint32 {
	end := uint32(0)
	for i := range list {
		if strings.HasPrefix(list[i].Name, "__MAX_BPF") {
			return uint32(list[i].Value)
		}
		if list[i].Value < maxBits {
			end = max(end, uint32(list[i].Value)+1)
		}
	}
	return end
}
