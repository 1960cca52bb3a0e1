package step

// OpMemory puts an actor's process into a memory cgroup of its own.
const OpMemory Op = 90

func init() { opNames[OpMemory] = "memory" }

// The arguments about what bounds a call, and who makes it. Each stays clear of
// the numbers of the other files, for an operation may come to have any.
const (
	KeyNoFD       Key = iota + 244 // make the call while the process may open no more descriptors
	KeyMemlock                     // with this RLIMIT_MEMLOCK
	KeyFromKernel                  // the kernel itself makes the call, for a BPF_PROG_TYPE_SYSCALL program
	KeyMemory                      // of OpMemory: memory.max
)
