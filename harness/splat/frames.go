package splat

import (
	"regexp"
	"slices"
	"strings"
)

var (
	traceLine = re(`^\s*(?:Call [Tt]race|(?:stack )?[Bb]acktrace(?: \(crc [0-9a-f]+\))?|Stack trace): *$`)
	frameLine = re(`^\s*(?:\[ ?<?[0-9a-f]+>? ?\] ){0,2}(\? )?\(?([A-Za-z_][\w.$]*)` +
		`(?:\+0x[0-9a-f]+/0x[0-9a-f]+| \(\S+\.[chS]:\d+|\) from )`)
	armFrame = re(`^\s*([A-Za-z_][\w.$]*) from [A-Za-z_][\w.$]*\+0x`)
	traceEnd = re(`^\s*(?:$|Allocated by|Freed by|Modules linked in|---\[ end|Uninit was|Local variable|The buggy|` +
		`Memory state|Last potentially|Sending NMI|task:|Code: |Showing all locks)`)
	nmiLine = re(`^NMI backtrace for cpu \d+`)
)

// faults match the lines of the registers that name the function at which a CPU stopped,
// by architecture: x86 (new and old), arm64 and ARM, powerpc, riscv, s390, mips and loongarch.
var faults = []*regexp.Regexp{
	re(`^E?RIP: +(?:[0-9a-f]{4}:)?(?:\[<[0-9a-f]+>\] +(?:\[<[0-9a-f]+>\] +)?)?([A-Za-z_][^+ ]*)\+0x`),
	re(`^E?[IR]?IP(?: is at|:|  ?)(?: *[0-9a-f]{4}:)? *(?:\[<[0-9a-f]+>\] *)*([A-Za-z_][^+ ]*)\+0x`),
	re(`^(?:pc : |PC is at )(?:\[<[0-9a-f]+>\] )?([A-Za-z_][^+ ]*)\+0x`),
	re(`^NIP \[[0-9a-f]+\] ([^+ ]+)\+0x`),
	re(`^epc : (?:[0-9a-f]+ +ra : .*|([A-Za-z_][^+ ]*)\+0x)`),
	re(`^Krnl PSW : .*\(([A-Za-z_][^+ ]*)\+0x`),
	re(`^ *(?:epc|ERA) *: [0-9a-f]+ ([A-Za-z_][^+ ]*)\+0x`),
}

// atFault is the function that a line of registers names; "" if it is no such line.
func atFault(msg string) string {
	for _, e := range faults {
		if m := e.FindStringSubmatch(msg); m != nil && m[1] != "" {
			return normalise(m[1])
		}
	}
	return ""
}

// Lists of prefixes of functions that a report is not about.
var (
	// reporters print a report, or lead to every function.
	reporters = strings.Fields(`
		dump_stack __dump_stack show_stack show_regs __warn warn_slowpath report_bug handle_bug exc_
		asm_exc_ __ubsan ubsan_ kasan_ __kasan __asan __hwasan __msan __tsan kmsan_ print_report
		print_address_description panic vpanic die oops_ page_fault_oops no_context __schedule_bug
		__might_ ___might_ asm_sysvec sysvec_ watchdog_ refcount_warn __list_ kfence_ kcsan_ print_
		lockdep_ __lock_acquire lock_acquire lock_release check_noncircular check_prev register_lock_class
		assign_lock_key bad_page free_page_is_bad check_new_page validate_chain mark_lock __lock_release
		check_memory_region check_region dump_backtrace unwind_backtrace arch_stack_walk stack_trace_
		save_stack debug_print_object debug_object __debug_ debug_check fail_dump should_fail
		fortify_panic __fortify do_syscall_ x64_sys_call entry_SYSCALL entry_INT80 el0 do_el0
		invoke_syscall ret_from_ kthread worker_thread process_one_work process_scheduled_works
		system_call do_trap error_entry __do_kernel_fault do_page_fault do_kernel_fault handle_fault
		bad_area __bad_area`)
	// printers run in an interrupt or in an NMI, and print the stack of what was interrupted; idle
	// CPUs and waiting kernel threads are not what stalls.
	printers = strings.Fields(`
		nmi_ trigger_ arch_trigger rcu_ check_cpu_stall update_process_times tick_ __hrtimer hrtimer
		local_apic_timer __sysvec smp_ sched_ dump_cpu_task default_do_nmi do_nmi end_repeat_nmi lapic_
		irq_exit __irq_exit apic_timer arch_timer_ handle_percpu generic_handle handle_irq __handle_domain
		handle_domain default_idle arch_cpu_idle cpuidle native_safe_halt default_enter_idle do_idle
		cpu_startup start_secondary secondary_startup rest_init start_kernel x86_64_start acpi_idle
		acpi_safe_halt pv_native_safe_halt __do_softirq handle_softirqs run_ksoftirqd smpboot_thread_fn
		csd_lock_wait call_on_irq_stack dump_cpu`)
	// waiters wait for what a report is about.
	waiters = strings.Fields(`
		__schedule schedule io_schedule preempt_schedule __preempt context_switch __cond_resched __mutex
		mutex_lock ww_mutex rwsem_ down_ __down percpu_down __percpu_down percpu_rwsem wait_for_c
		__wait_for_c do_wait_for_c __wait_on_bit out_of_line_wait bit_wait wait_on_bit __wait_rcu_gp
		synchronize_ __synchronize rcu_barrier rt_mutex __rt_mutex rt_spin __rt_spin flush_work
		__flush_work __switch_to msleep usleep_range folio_wait_bit wait_on_page_bit`)
	// primitives are called from everywhere: their callers are at fault.
	primitives = strings.Fields(`
		_raw_ __raw_ do_raw_ native_queued queued_spin queued_read queued_write pv_queued __pv_queued
		pv_wait pv_kick kvm_wait lock_sock __mutex_lock mutex_lock instrument_ _copy_to _copy_from
		copy_to_ copy_from_ __copy_ _inline_copy copyout copyin raw_copy memcpy memmove memset memcmp
		__memcpy __memmove __memset strlen strnlen strcpy strncpy strscpy sized_str strcmp strncmp strlcpy
		strcat strchr strstr rep_movs atomic_ arch_atomic raw_atomic __refcount refcount_ kref_ list_
		hlist_ bcmp`)
	// allocators allocate for their callers; a leak or a warning is about the caller.
	allocators = strings.Fields(`
		kmemleak_ kmalloc __kmalloc ___kmalloc __do_kmalloc kmem_cache_alloc slab_post_alloc kzalloc
		krealloc __krealloc kmemdup kstrdup kvmalloc __kvmalloc vmalloc __vmalloc kvasprintf kasprintf
		pcpu_alloc __alloc_percpu __alloc_pages alloc_pages __alloc_frozen alloc_frozen __get_free_pages
		get_free_pages bpf_map_kmalloc bpf_map_kzalloc bpf_map_kvcalloc bpf_map_alloc_percpu bpf_map_area_
		__bpf_map_area_alloc slab_alloc kfree kvfree slab_free kmem_cache_free __slab_free __kmem_cache`)
)

// stalls are the kinds whose report is printed by an interrupt, or by another task.
var stalls = map[Kind]bool{KindRCU: true, KindLockup: true, KindHungTask: true}

// isHelper reports whether a report of kind k is not about the function.
func isHelper(k Kind, name string) bool {
	begins := func(prefix string) bool { return strings.HasPrefix(name, prefix) }
	lists := [][]string{reporters, primitives, allocators}
	switch {
	case stalls[k]:
		lists = append(lists, printers, waiters)
	case k == KindAtomic:
		lists = append(lists, waiters)
	}
	return slices.ContainsFunc(lists, func(l []string) bool { return slices.ContainsFunc(l, begins) })
}

// interrupts are prefixes of the functions through which an interrupt enters: what is on the
// stack after them was interrupted.
var interrupts = []string{
	"asm_sysvec", "asm_common_interrupt", "asm_exc_nmi", "apic_timer_interrupt", "common_interrupt", "ret_from_intr",
	"end_repeat_nmi", "el1_irq", "el1h_64_irq", "__irq_svc", "ret_from_exception", "handle_exception", "ret_from_irq",
	"decrementer_common", "reschedule_interrupt", "call_function_interrupt",
}

// Callers returns the functions on the report's stack that the kernel is sure of,
// the innermost first.
func (f *Finding) Callers() []string { return frames(f.Kind, f.Lines, maxLines) }

// frames returns the functions of the first stack that says what a report is about, at most most,
// without helpers and without those that the kernel marks as unsure ("? ").
func frames(k Kind, lines []string, most int) []string {
	w := walk{kind: k}
	// Their first stack has no line before it.
	w.inTrace = k == KindKMSAN || k == KindKCSAN || k == KindKFENCE
	for _, raw := range lines {
		if w.take(unprefix(raw).msg) {
			break
		}
	}
	return w.out[:min(len(w.out), most)]
}

// walk collects the functions of a stack.
type walk struct {
	kind    Kind
	inTrace bool
	out     []string
}

// take takes a line; done says that the stack has ended.
func (w *walk) take(msg string) (done bool) {
	headless := w.kind == KindKMSAN || w.kind == KindKCSAN || w.kind == KindKFENCE
	name, sure := frame(msg)
	switch {
	case traceLine.MatchString(msg) || nmiLine.MatchString(msg):
		// The registers of a stalled CPU are part of its stack.
		if len(w.out) > 0 && (!stalls[w.kind] || w.inTrace) {
			return true
		}
		w.inTrace = !nmiLine.MatchString(msg)
	case atFault(msg) != "" && stalls[w.kind]:
		w.push(atFault(msg))
	case !w.inTrace:
	case traceEnd.MatchString(msg):
		if len(w.out) > 0 {
			return true
		}
		w.inTrace = headless
	case name == "" || !sure:
	case stalls[w.kind] && slices.ContainsFunc(interrupts, func(p string) bool { return strings.HasPrefix(name, p) }):
		w.out = nil
	default:
		w.push(name)
	}
	return false
}

func (w *walk) push(name string) {
	if !isHelper(w.kind, name) && (len(w.out) == 0 || w.out[len(w.out)-1] != name) {
		w.out = append(w.out, name)
	}
}

// frame is the function that a line of a stack names; a symboliser's line of an inlined one is none.
func frame(msg string) (name string, sure bool) {
	if strings.Contains(msg, " [inline]") {
		return "", false
	}
	if m := armFrame.FindStringSubmatch(msg); m != nil {
		return normalise(m[1]), true
	}
	m := frameLine.FindStringSubmatch(msg)
	if m == nil {
		return "", false
	}
	return normalise(m[2]), m[1] == ""
}
