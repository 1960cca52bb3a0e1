package step

import "tokentest/cases/uapi"

// Body is a program that the verifier accepts only with a certain privilege.
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
	BodyProbeReadKernel
	BodyLoop             // jumps back
	BodyKfunc            // calls functions of the kernel
	BodyKfuncPerfmon     // calls one that reads what a pointer leads to
	BodyKfuncDestructive // calls one that ends the kernel
	BodyReadBTF          // reads a struct of the kernel
	BodyReadMap          // reads the kernel's struct bpf_map
	BodyUseMap           // has the address of a map, and does nothing with it
	BodySubtract         // subtracts a pointer from a pointer
	BodyCompare          // compares pointers
	BodyPartialSpill     // overwrites a part of a pointer on the stack
	BodyWriteTime        // sets the time of a packet
	BodyFarStack         // has a pointer beyond the stack
	BodySysBpf           // makes a bpf(2) call
	BodyDeadCode         // has two instructions that never run
	BodyBranches         // has two branches that meet
	BodyAddToPointer     // adds to a pointer on the stack
	BodyMixedRead        // reads a part of the stack that it has written in part
	BodySubtractHalf     // subtracts the lower halves of pointers
	BodyBlankKey         // looks an element up under a key that it has not written
	BodyPointerKey       // looks an element up under a key that is a pointer
	BodyBlankSlot        // reads a part of its stack that it has not written
	BodyVarWrite         // writes to one of two places of its stack, of which one has a pointer
	BodyStalePacket      // uses a pointer into a packet after it has changed the packet
	BodyLinked           // bounds a number by the bounds of another one
	BodyMaskedAdd        // adds a number that it has read to a pointer
	BodyTailCall         // goes on in another program
	BodyNotTaken         // has a branch that is never taken
	BodyProbeRead        // reads memory of the kernel or of a process
	BodyProbeReadStr     // reads a text there
	BodyTracePrintk      // writes a line for those who trace
	BodyFindSymbol       // asks for the address of a function of the kernel
	BodyNegate           // negates a pointer
	BodyExtendHalf       // extends the sign of the lower half of a pointer
	BodyCopyHalf         // copies the lower half of a pointer
	BodyStoreValue       // stores a pointer in a map
	BodyStoreRecord      // stores a pointer in a record of a ringbuf
	BodyStorePacket      // stores a pointer in a packet
	BodyStoreKeys        // stores a pointer in the keys of a flow
	BodyStaleRecord      // uses a pointer to a record after it has given the record away
	BodyStaleSlice       // uses a pointer into a dynptr after it has overwritten the dynptr
	BodyStoreContext     // stores a pointer in its context
	BodyPassPointer      // gives a helper a pointer for a number
	BodyCompareNumber    // compares a number with a pointer
	BodyCompareConst     // compares a pointer with a constant
	BodyAtomicPointer    // adds a pointer to a number on the stack, atomically
	BodySpillNumber      // uses a number that was on the stack as an offset
	BodyHelperSpill      // has a helper write over a part of a pointer on the stack
	BodyZeroSize         // gives a helper a buffer that may have no bytes
	BodyBeforeContext    // reads its context through a pointer before it
)

// bodyRow is what a kernel must have for a body.
type bodyRow struct {
	name   string
	config string   // the options that compile in what it calls
	funcs  []string // functions of the kernel that its BTF must name
	maps   bool     // it uses the map of KeyMap
}

// bpfEvents compiles in the helpers of kernel/trace/bpf_trace.c. Without it bpf_base_func_proto has a weak symbol
// instead, and the verifier says EINVAL.
const bpfEvents = "BPF_EVENTS"

// probeReadConfig compiles in the helpers that take an address of the kernel or of a program (bpf_tracing_func_proto):
// an architecture in which the two can be equal has none of them.
const probeReadConfig = bpfEvents + " ARCH_HAS_NON_OVERLAPPING_ADDRESS_SPACE"

// The kernel functions that bodies call, and the struct that one reads.
const (
	FuncLock     = "bpf_rcu_read_lock"
	FuncUnlock   = "bpf_rcu_read_unlock"
	FuncCast     = "bpf_rdonly_cast"
	FuncCrash    = "crash_kexec"
	FuncContext  = "bpf_cast_to_kern_ctx"
	StructOfCast = "task_struct"

	// FuncBypassV4 is what bpf_bypass_spec_v4 asks of the architecture, on kernels that have it.
	FuncBypassV4 = "bpf_jit_bypass_spec_v4"
)

var bodyRows = []bodyRow{
	BodyJiffies64:        {name: "jiffies64"},
	BodyCurrentTask:      {name: "get_current_task", config: bpfEvents},
	BodyProbeWriteUser:   {name: "probe_write_user", config: bpfEvents},
	BodyReturnContext:    {name: "return_ctx"},
	BodyReadData:         {name: "read_skb_data"},
	BodyUninitStack:      {name: "uninit_stack"},
	BodyVarStack:         {name: "var_stack"},
	BodySubprog:          {name: "subprog"},
	BodySpill:            {name: "spill"},
	BodyProbeReadKernel:  {name: "probe_read_kernel", config: bpfEvents},
	BodyLoop:             {name: "loop"},
	BodyKfunc:            {name: "kfunc", funcs: []string{FuncLock, FuncUnlock}},
	BodyKfuncPerfmon:     {name: "kfunc_perfmon", funcs: []string{FuncCast}},
	BodyKfuncDestructive: {name: "kfunc_destructive", config: "CRASH_DUMP", funcs: []string{FuncCrash}},
	BodyReadBTF:          {name: "read_btf", funcs: []string{FuncContext}},
	BodyReadMap:          {name: "read_map", config: "DEBUG_INFO_BTF", maps: true},
	BodyUseMap:           {name: "use_map", maps: true},
	BodySubtract:         {name: "subtract"},
	BodyCompare:          {name: "compare"},
	BodyPartialSpill:     {name: "partial_spill"},
	BodyWriteTime:        {name: "write_tstamp"},
	BodyFarStack:         {name: "far_stack"},
	BodySysBpf:           {name: "sys_bpf"},
	BodyDeadCode:         {name: "dead_code"},
	BodyBranches:         {name: "branches"},
	BodyAddToPointer:     {name: "add_to_pointer"},
	BodyMixedRead:        {name: "mixed_read"},
	BodySubtractHalf:     {name: "subtract_half"},
	BodyBlankKey:         {name: "blank_key", maps: true},
	BodyPointerKey:       {name: "pointer_key", maps: true},
	BodyBlankSlot:        {name: "blank_slot"},
	BodyVarWrite:         {name: "var_write"},
	BodyStalePacket:      {name: "stale_packet", config: "NET"},
	BodyLinked:           {name: "linked", maps: true},
	BodyMaskedAdd:        {name: "masked_add", maps: true},
	BodyTailCall:         {name: "tail_call", maps: true},
	BodyNotTaken:         {name: "not_taken"},
	BodyProbeRead:        {name: "probe_read", config: probeReadConfig},
	BodyProbeReadStr:     {name: "probe_read_str", config: probeReadConfig},
	BodyTracePrintk:      {name: "trace_printk", config: bpfEvents},
	BodyFindSymbol:       {name: "find_symbol", config: "KALLSYMS"},
	BodyNegate:           {name: "negate"},
	BodyExtendHalf:       {name: "extend_half"},
	BodyCopyHalf:         {name: "copy_half"},
	BodyStoreValue:       {name: "store_value", maps: true},
	BodyStoreRecord:      {name: "store_record", maps: true},
	BodyStorePacket:      {name: "store_packet", config: "NET"},
	BodyStoreKeys:        {name: "store_keys", config: "NET"},
	BodyStaleRecord:      {name: "stale_record", maps: true},
	BodyStaleSlice:       {name: "stale_slice", maps: true},
	BodyStoreContext:     {name: "store_ctx"},
	BodyPassPointer:      {name: "pass_pointer", config: "NET"},
	BodyCompareNumber:    {name: "compare_number"},
	BodyCompareConst:     {name: "compare_const"},
	BodyAtomicPointer:    {name: "atomic_pointer"},
	BodySpillNumber:      {name: "spill_number"},
	BodyHelperSpill:      {name: "helper_spill", config: "NET"},
	BodyZeroSize:         {name: "zero_size", config: "NET"},
	BodyBeforeContext:    {name: "before_ctx"},
}

// Bodies are the bodies as a case file spells them.
var Bodies = func() []string {
	out := make([]string, len(bodyRows))
	for i := range bodyRows {
		out[i] = bodyRows[i].name
	}
	return out
}()

func (b Body) row() *bodyRow {
	if int(b) < len(bodyRows) {
		return &bodyRows[b]
	}
	return &bodyRows[0]
}

// Config lists the options that compile in what the body calls.
func (b Body) Config() string { return b.row().config }

// Funcs are the kernel's functions that the body calls.
func (b Body) Funcs() []string { return b.row().funcs }

// UsesMap reports whether the body uses the map of KeyMap.
func (b Body) UsesMap() bool { return b.row().maps }

// bodyNames are the types of the kernel that bodies name, and the function that decides whether they get barriers.
func bodyNames() [][2]string {
	out := [][2]string{{KindStruct, StructOfCast}, {KindFunc, FuncBypassV4}}
	for i := range bodyRows {
		for _, f := range bodyRows[i].funcs {
			out = append(out, [2]string{KindFunc, f})
		}
	}
	return out
}

// HelperConfig is the option that compiles a helper in.
func HelperConfig(id uint64) string {
	if h := uapi.HelperOf(uint32(id)); h != nil {
		return h.Config
	}
	return ""
}
