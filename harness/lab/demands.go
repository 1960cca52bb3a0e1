package lab

import "cmp"

// A kernel that checks itself needs more memory and time than others.
const (
	// usualMiB is the memory of a machine.
	usualMiB = 512
	// shadowMiB is for a kernel that keeps a shadow of its memory: an arena map alone
	// reserves 4 GiB of addresses, whose shadow takes 512 MiB.
	shadowMiB = 2048
	// originMiB is for a kernel that keeps a shadow and an origin of each byte.
	originMiB = 4096
	// checkedSlow is how many times longer it may take: with KASAN and lockdep, a boot
	// takes four times as long as a usual one, a system call up to six times.
	checkedSlow = 5
)

// checkers maps the options that make the kernel check itself while it runs to the memory
// that a machine with them needs.
var checkers = map[string]int{
	"KASAN": shadowMiB, "KMSAN": originMiB, "KCSAN": usualMiB, "PROVE_LOCKING": usualMiB,
	"DEBUG_KMEMLEAK": usualMiB, "DEBUG_PAGEALLOC": usualMiB, "GCOV_KERNEL": usualMiB,
}

// bigPages reports whether a kernel's pages are larger than 4 KiB.
func bigPages(config map[string]string) bool {
	return config["PAGE_SIZE_16KB"] == "y" || config["PAGE_SIZE_64KB"] == "y"
}

// demands returns what a kernel's configuration demands of its machine: the memory, and
// how many times longer everything may take.
func demands(config map[string]string) (memMiB, slow int) {
	memMiB, slow = usualMiB, 1
	for option, mem := range checkers {
		if config[option] == "y" {
			memMiB, slow = max(memMiB, mem), checkedSlow
		}
	}
	return memMiB, slow
}

// memory is the memory of a machine in MiB: what the user asked for, else what the kernel
// needs and more.
func (t *trial) memory(asked, more int) int { return cmp.Or(asked, t.memMiB+more) }
