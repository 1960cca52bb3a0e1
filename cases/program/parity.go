package program

// What the kernel's own selftests look at beside the answer of a call.
const (
	OpKallsyms Op = iota + 80 // a program's symbol
	OpLibrary                 // an application that uses cilium/ebpf
)

func init() { opNames[OpKallsyms], opNames[OpLibrary] = "kallsyms", "library" }

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
