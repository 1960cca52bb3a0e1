package step

import "fmt"

// The arguments that make a request other than well formed: each replaces
// what the type's shape has.
const (
	KeyAttr       Key = iota + 100 // how the attribute itself is wrong, an AttrFault
	KeyTokenFD                     // a token without BPF_F_TOKEN_FD
	KeyKeySize                     // map_create
	KeyValueSize                   // map_create
	KeyMaxEntries                  // map_create
	KeyExtra                       // map_create
	KeyNUMA                        // map_create
	KeyInner                       // map_create
	KeyBTF                         // map_create
	KeyBTFKey                      // map_create
	KeyBTFValue                    // map_create
	KeyVmlinux                     // map_create: btf_vmlinux_value_type_id
	KeyIfindex
	KeyName
	KeyInsns       // prog_load
	KeyLog         // the log level
	KeyAttachBTFID // prog_load
	KeyAttachFD    // prog_load
	KeyBody        // prog_load: a Body
	KeyJunk        // btf_load: bytes that are no BTF
	KeyLock        // btf_load: with a struct that holds a lock, LockType
	KeyMap         // prog_load: the map that the program looks an element up in
)

// LockType is the id of the struct of KeyLock, 4 bytes long.
const LockType = 3

// The arguments of a benchmark, which no case file can spell.
const (
	KeyTime   Key = iota + 240 // make the call for so many microseconds and show the nanoseconds that one takes
	KeyRepeat                  // make it so many times
)

// AttrFault says how union bpf_attr is wrong as a whole.
type AttrFault uint8

// The faults.
const (
	AttrTail       AttrFault = iota + 1 // a byte behind the command's last field is not 0
	AttrBeyond                          // a byte behind what the kernel knows is not 0
	AttrHuge                            // longer than a page, and nowhere
	AttrUnreadable                      // nowhere
	AttrInsns                           // the instructions are nowhere
)

// AttrFaults are the faults as a case file spells them.
var AttrFaults = []string{AttrTail: "tail", AttrBeyond: "beyond", AttrHuge: "huge", AttrUnreadable: "unreadable", AttrInsns: "insns"}

// Body is a program that the verifier takes with a certain privilege alone.
type Body uint8

// The bodies.
const (
	BodyJiffies64 Body = iota + 1
	BodyCurrentTask
	BodyProbeWriteUser
	BodyReturnContext
	BodyReadData
	BodyUninitStack
	BodyVarStack
	BodySubprog // has a function beside its first
	BodySpill   // puts a pointer on the stack
)

// Bodies are the bodies as a case file spells them.
var Bodies = []string{
	BodyJiffies64: "jiffies64", BodyCurrentTask: "get_current_task", BodyProbeWriteUser: "probe_write_user",
	BodyReturnContext: "return_ctx", BodyReadData: "read_skb_data", BodyUninitStack: "uninit_stack", BodyVarStack: "var_stack",
	BodySubprog: "subprog", BodySpill: "spill",
}

// ParseWord reads a word of AttrFaults or Bodies; there is none in place 0.
func ParseWord(words []string, s string) (uint64, error) {
	for i, w := range words {
		if w == s && w != "" {
			return uint64(i), nil
		}
	}
	return 0, fmt.Errorf("unknown word %q: want one of %q", s, words[1:])
}
