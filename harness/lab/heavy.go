package lab

import "cmp"

// A kernel that watches itself needs more than others do.
const (
	// usualMiB is the memory of a machine.
	usualMiB = 512
	// shadowedMiB is that of one whose kernel keeps a shadow of its memory: an
	// arena map alone reserves 4 GiB of addresses, whose shadow takes 512 MiB.
	shadowedMiB = 2048
	// tripledMiB is that of one in which each byte has a shadow and an origin.
	tripledMiB = 4096
	// watched is how many times longer it may take: a boot of one with KASAN and
	// lockdep measures four times that of a usual one, a system call up to six.
	watched = 5
)

// watchers are the options that have the kernel check what it does as it does it.
var watchers = map[string]int{
	"KASAN": shadowedMiB, "KMSAN": tripledMiB, "KCSAN": usualMiB, "PROVE_LOCKING": usualMiB,
	"DEBUG_KMEMLEAK": usualMiB, "DEBUG_PAGEALLOC": usualMiB, "GCOV_KERNEL": usualMiB,
}

// demands says what a kernel's configuration asks of its machine: its memory,
// and how many times longer everything may take.
func demands(config map[string]string) (memMiB, slow int) {
	memMiB, slow = usualMiB, 1
	for option, mem := range watchers {
		if config[option] == "y" {
			memMiB, slow = max(memMiB, mem), watched
		}
	}
	return memMiB, slow
}

// memory is that of a machine which must hold more than usual, or what was asked for.
func (t *trial) memory(asked, more int) int { return cmp.Or(asked, t.memMiB+more) }
