package step

// What the kernel's own selftests look at beside the answer of a call.
const (
	OpKallsyms Op = iota + 80 // a program's symbol
	OpLibrary                 // an application that uses cilium/ebpf
	OpElement                 // an element of a map
	OpObjGet                  // what lies pinned under a name
	OpConsume                 // what a program writes into a buffer
	OpBarriers                // what the verifier put into a program
)

func init() {
	for op, name := range map[Op]string{OpKallsyms: "kallsyms", OpLibrary: "library", OpElement: "element", OpObjGet: "get_pinned", OpConsume: "consume", OpBarriers: "barriers"} {
		opNames[op] = name
	}
}

// What is done with an element, and which buffer is read.
const (
	KeyDo     Key = iota + 248 // a Do
	KeyBuffer                  // a Buffer
	KeyEnv                     // of OpLibrary: LIBBPF_BPF_TOKEN_PATH in its environment
)

// Do is what is done with an element of a map.
type Do uint8

// What OpElement does.
const (
	DoUpdate Do = iota + 1
	DoLookup
	DoDelete
)

// Dos are the ways as a case file spells them.
var Dos = []string{DoUpdate: "update", DoLookup: "lookup", DoDelete: "delete"}

// Buffer is where a program leaves what a process reads.
type Buffer uint8

// The buffers.
const (
	BufferRing Buffer = iota + 1 // a ringbuf map, mapped into memory
	BufferPerf                   // a perf_event_array map with the reader's perf events
)

// Buffers are the buffers as a case file spells them.
var Buffers = []string{BufferRing: "ring", BufferPerf: "perf"}

// KeyMake is what an application makes, a Make.
const KeyMake Key = 243

// Make is what an application makes.
type Make uint8

// What the application of OpLibrary makes.
const (
	MakeQueue    Make = iota + 1 // a queue
	MakeBTF                      // a map that names a BTF, which the library loads
	MakeProg                     // an XDP program that calls helpers for CAP_BPF and CAP_PERFMON
	MakeFreplace                 // an XDP program with a BTF, and one that replaces its function
)

// Makes are what it makes as a case file spells it.
var Makes = []string{MakeQueue: "queue", MakeBTF: "btf", MakeProg: "prog", MakeFreplace: "freplace"}
