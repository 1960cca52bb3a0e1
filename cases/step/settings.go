package step

import (
	"encoding/binary"
	"slices"
	"strconv"
	"strings"
)

// Setting is something that is set on a kernel when it boots or while it runs,
// and that decides what a case shows. The guest reads each before it changes
// anything.
type Setting struct {
	Name    string   // as sysctl(8) spells it, or the kernel argument, or the security module
	File    string   // the file that the guest reads; a kernel without it has no such setting
	Words   []string // the names of the values from 0 on; nil where the values are numbers
	Decides string   // the answers that depend on it
	Func    string   // the kernel function that reads it
	Change  *Target  // the value that the guest sets before the first case; nil: it leaves the setting alone
	// Never is the option that makes the value 0 impossible, "" for none.
	Never string
	parse func(s *Setting, text string) (value int64, ok bool)
}

// Target is the value that the guest gives a setting, and the reason.
type Target struct {
	Value   int64
	AtLeast bool // a higher value stays
	Worlds  bool // the guest sets it whenever a world begins, and not for programs
	Why     string
}

// Holds reports whether a value need not be changed.
func (t *Target) Holds(v int64) bool { return v == t.Value || t.AtLeast && v > t.Value }

// Reading is the value of a setting when the guest started, and while cases
// run. They differ where the guest changed it.
type Reading struct {
	Booted  int64 `json:"booted"`
	Running int64 `json:"running"`
}

// The settings that rules and needs name.
const (
	Lockdown        = "lockdown"
	Mitigations     = "mitigations"
	LSMArgument     = "lsm"
	CgroupDisable   = "cgroup_disable"
	CgroupMemory    = "cgroup.memory"
	SELinuxEnforces = "selinux.enforce"
	SELinuxPolicy   = "selinux.policies"
	JITEnable       = "net.core.bpf_jit_enable"
	JITHarden       = "net.core.bpf_jit_harden"
	JITKallsyms     = "net.core.bpf_jit_kallsyms"
	KptrRestrict    = "kernel.kptr_restrict"
	PerfParanoid    = "kernel.perf_event_paranoid"
	PtraceScope     = "kernel.yama.ptrace_scope"
	UnprivDisabled  = "kernel.unprivileged_bpf_disabled"
	PanicOnWarn     = "kernel.panic_on_warn"
	Emulation       = "ia32_emulation"
)

const kernelArguments = "/proc/cmdline"

// The values of settings that are words.
const (
	off                     = 0
	on                      = 1
	LockdownIntegrity       = 1
	LockdownConfidentiality = 2
	LSMWithoutBPF           = 2
	EmulationOn             = 1
	EmulationOff            = 2
)

// Settings is the one table of them.
var Settings = []Setting{
	{
		Name:  Lockdown,
		File:  "/sys/kernel/security/lockdown",
		Words: []string{"none", "integrity", "confidentiality"},
		parse: bracketed,
		Func:  "security_locked_down",
		Decides: "integrity closes bpf_probe_write_user to everyone, confidentiality also the helpers that read kernel " +
			"memory",
	},
	{Name: Mitigations, File: kernelArguments, Words: []string{"on", "off"}, parse: argument(trustsCPU),
		Func: "cpu_mitigations_off", Decides: "off: since 6.7 the verifier guards no program against speculation"},
	{
		Name:    LSMArgument,
		File:    kernelArguments,
		Words:   []string{"not given", "with bpf", "without bpf"},
		parse:   argument(namesBPF),
		Func:    "choose_lsm_order",
		Decides: "which security modules are active, in place of CONFIG_LSM",
	},
	{Name: CgroupDisable, File: kernelArguments, Words: []string{"others", "memory"}, parse: argument(lists("memory")),
		Func: "cgroup_disable", Decides: "memory: no memory cgroup bounds a process"},
	{Name: Emulation, File: kernelArguments, Words: []string{"as built", "on", "off"}, parse: argument(emulates),
		Func: "ia32_emulation_override_cmdline", Decides: "off: no program of 32 bits runs"},
	{
		Name:    CgroupMemory,
		File:    kernelArguments,
		Words:   []string{"counted", "not counted"},
		parse:   argument(lists("nokmem", "nobpf")),
		Func:    "cgroup_memory",
		Decides: "nokmem and nobpf: maps and programs do not count against memory.max",
	},
	{Name: SELinuxEnforces, File: "/sys/fs/selinux/enforce", Words: []string{"permissive", "enforcing"}, parse: number,
		Func: "avc_has_perm", Decides: "with a policy loaded, what the policy refuses; without one nothing"},
	{Name: SELinuxPolicy, File: "/sys/fs/selinux/status", parse: policies,
		Func: "security_compute_av", Decides: "the number of policies loaded since the boot; without one SELinux allows " +
			"everything"},
	{Name: "apparmor", File: "/sys/module/apparmor/parameters/enabled", Words: []string{"off", "on"}, parse: yesNo,
		Func: "aa_capable", Decides: "the profile of a confined process; the guest's processes have none"},
	{Name: JITEnable, File: sysctl(JITEnable), parse: number, Never: "BPF_JIT_ALWAYS_ON",
		Func: "ebpf_jit_enabled", Decides: "0: no program is compiled; none can replace another's function, and none has " +
			"a symbol"},
	{Name: JITHarden, File: sysctl(JITHarden), parse: number,
		Func:    "bpf_jit_blinding_enabled, bpf_jit_kallsyms_enabled",
		Decides: "1 blinds the constants of programs loaded without CAP_BPF, 2 of all; either hides the symbols of all"},
	{Name: JITKallsyms, File: sysctl(JITKallsyms), parse: number,
		Func: "bpf_jit_kallsyms_enabled", Decides: "0: /proc/kallsyms shows no program"},
	{Name: "net.core.bpf_jit_limit", File: sysctl("net.core.bpf_jit_limit"), parse: number,
		Func: "bpf_jit_charge_modmem", Decides: "the memory of compiled programs; above it those of callers without " +
			"CAP_BPF in the initial user namespace are not compiled, or refused with BPF_JIT_ALWAYS_ON",
		Change: &Target{Value: 32 << 20, AtLeast: true, Why: "room for the programs of the cases"}},
	{Name: KptrRestrict, File: sysctl(KptrRestrict), parse: number,
		Func: "kallsyms_show_value", Decides: "1 shows the instructions of a blinded program to those alone who loaded it " +
			"with CAP_SYSLOG, 2 to nobody"},
	{Name: PerfParanoid, File: sysctl(PerfParanoid), parse: number,
		Func:    "kallsyms_for_perf, perf_event_open",
		Decides: "who may open perf events; above 1 it restricts pointers as kptr_restrict=1 does",
		Change:  &Target{Value: -1, Why: "the perf events of actors are no decision of bpf(2)"}},
	{Name: "kernel.perf_event_max_stack", File: sysctl("kernel.perf_event_max_stack"), parse: number,
		Func: "stack_map_alloc", Decides: "the longest stack that a stack_trace map may hold",
		Change: &Target{Value: 127, AtLeast: true, Why: "room for the stack_trace maps of the cases"}},
	{Name: "kernel.ftrace_enabled", File: sysctl("kernel.ftrace_enabled"), parse: number,
		Func: "ftrace_startup", Decides: "0: BPF-LSM programs attach and never run; 7.3 refuses 0",
		Change: &Target{Value: 1, Why: "the programs of lsm steps must run"}},
	{Name: UnprivDisabled, File: sysctl(UnprivDisabled), parse: number,
		Func: "bpf_unpriv_handler", Decides: "whether callers without CAP_BPF may create maps and load programs; 1 cannot " +
			"be changed any more",
		Change: &Target{Value: 2, Worlds: true, Why: "each world starts with it; the sysctl steps of cases change it"}},
	{Name: PanicOnWarn, File: sysctl(PanicOnWarn), parse: number,
		Func: "check_panic_on_warn", Decides: "1: a warning, or a report of UBSAN or KASAN, ends the machine"},
	{Name: "kernel.unprivileged_userns_clone", File: sysctl("kernel.unprivileged_userns_clone"), parse: number,
		Func: "copy_process", Decides: "Debian: 0 keeps callers without CAP_SYS_ADMIN from creating user namespaces",
		Change: &Target{Value: 1, Why: "actors need user namespaces"}},
	{
		Name:    "kernel.apparmor_restrict_unprivileged_userns",
		File:    sysctl("kernel.apparmor_restrict_unprivileged_userns"),
		parse:   number,
		Func:    "apparmor_userns_create",
		Decides: "Ubuntu: 1 takes the capabilities from a process that creates a user namespace without a profile",
		Change:  &Target{Value: 0, Why: "actors need user namespaces, with capabilities"},
	},
	{Name: "user.max_user_namespaces", File: sysctl("user.max_user_namespaces"), parse: number,
		Func: "inc_ucount", Decides: "the number of user namespaces",
		Change: &Target{Value: 1024, AtLeast: true, Why: "actors need user namespaces"}},
	{Name: "user.max_mnt_namespaces", File: sysctl("user.max_mnt_namespaces"), parse: number,
		Func: "inc_ucount", Decides: "the number of mount namespaces",
		Change: &Target{Value: 1024, AtLeast: true, Why: "actors need mount namespaces"}},
	{Name: "fs.mount-max", File: sysctl("fs.mount-max"), parse: number,
		Func: "count_mounts", Decides: "the number of mounts in a mount namespace",
		Change: &Target{Value: 1024, AtLeast: true, Why: "room for the mounts of the cases"}},
	{Name: PtraceScope, File: sysctl(PtraceScope), parse: number,
		Func: "yama_ptrace_access_check", Decides: "who may trace a process, and so take its descriptors with " +
			"pidfd_getfd(2), beyond the kernel's own check; 3 refuses everyone and cannot be changed any more",
		Change: &Target{Value: 0, Why: "the cases ask for the kernel's own check"}},
	{Name: "fs.protected_hardlinks", File: sysctl("fs.protected_hardlinks"), parse: number,
		Func: "may_linkat", Decides: "who may link a file, beyond the kernel's own check",
		Change: &Target{Value: 0, Why: "the cases ask for the kernel's own check"}},
}

// sysctl is the file of a sysctl. A dot in its name separates directories.
func sysctl(name string) string { return "/proc/sys/" + strings.ReplaceAll(name, ".", "/") }

// SettingNamed returns the row of the table, or nil.
func SettingNamed(name string) *Setting {
	i := slices.IndexFunc(Settings, func(s Setting) bool { return s.Name == name })
	if i < 0 {
		return nil
	}
	return &Settings[i]
}

// Parse reads a value from the text of the setting's file.
func (s *Setting) Parse(text string) (value int64, ok bool) { return s.parse(s, text) }

// Spell writes a value as a person reads it.
func (s *Setting) Spell(v int64) string {
	if v >= 0 && v < int64(len(s.Words)) {
		return s.Words[v]
	}
	return strconv.FormatInt(v, 10)
}

// Read reads a value as Spell writes it, with _ for a space.
func (s *Setting) Read(word string) (int64, bool) {
	if i := slices.Index(s.Words, strings.ReplaceAll(word, "_", " ")); i >= 0 {
		return int64(i), true
	}
	n, err := strconv.ParseInt(word, 10, 64)
	return n, err == nil && len(s.Words) == 0
}

// Choices says which values there are, for an error.
func (s *Setting) Choices() string {
	if s.Words == nil {
		return "a number"
	}
	var out []string
	for _, w := range s.Words {
		out = append(out, strings.ReplaceAll(w, " ", "_"))
	}
	return "one of " + strings.Join(out, ", ")
}

// SettingState is a setting of a kernel, with its values.
type SettingState struct {
	*Setting
	Reading
}

// Value spells the value while cases run.
func (s SettingState) Value() string { return s.Spell(s.Running) }

// Changed says what the guest found where it changed the setting, or "".
func (s SettingState) Changed() string {
	if s.Running == s.Booted {
		return ""
	}
	return "booted with " + s.Spell(s.Booted)
}

// States returns the settings that were read, in the order of the table.
func (f *Facts) States() []SettingState {
	var out []SettingState
	if f == nil {
		return nil
	}
	for i := range Settings {
		if r, ok := f.Settings[Settings[i].Name]; ok {
			out = append(out, SettingState{&Settings[i], r})
		}
	}
	return out
}

// Running returns the value of a setting while cases run. A kernel without the
// setting, or a record from before it was read, has none.
func (f *Facts) Running(name string) (value int64, ok bool) {
	r, ok := f.Settings[name]
	return r.Running, ok
}

func number(_ *Setting, text string) (int64, bool) {
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	return n, err == nil
}

func yesNo(_ *Setting, text string) (int64, bool) {
	i := slices.Index([]string{"N", "Y"}, strings.TrimSpace(text))
	return int64(i), i >= 0
}

// bracketed reads a list whose chosen word stands in brackets.
func bracketed(s *Setting, text string) (int64, bool) {
	_, rest, _ := strings.Cut(text, "[")
	word, _, ok := strings.Cut(rest, "]")
	i := slices.Index(s.Words, word)
	return int64(i), ok && i >= 0
}

// policyloads is the offset of policyload in struct selinux_kernel_status,
// security/selinux/include/security.h.
const policyloads = 12

func policies(_ *Setting, text string) (int64, bool) {
	if len(text) < policyloads+4 {
		return 0, false
	}
	return int64(binary.NativeEndian.Uint32([]byte(text[policyloads:]))), true
}

// argument reads the kernel's command line. pick gets the values of every
// argument of the setting's name, in order; arguments after -- are init's.
func argument(pick func(values []string) int64) func(*Setting, string) (int64, bool) {
	return func(s *Setting, text string) (int64, bool) {
		var values []string
		for _, arg := range strings.Fields(text) {
			if arg == "--" {
				break
			}
			if value, ok := strings.CutPrefix(arg, s.Name+"="); ok {
				values = append(values, value)
			}
		}
		return pick(values), true
	}
}

// trustsCPU reads mitigations=: the last one counts, mitigations_parse_cmdline.
func trustsCPU(values []string) int64 {
	if n := len(values); n > 0 && values[n-1] == "off" {
		return on
	}
	return off
}

// emulates reads ia32_emulation=: the last one counts, with the words of kstrtobool.
func emulates(values []string) int64 {
	if len(values) == 0 {
		return 0
	}
	switch v := strings.ToLower(values[len(values)-1]); {
	case strings.HasPrefix(v, "0"), strings.HasPrefix(v, "n"), strings.HasPrefix(v, "f"), strings.HasPrefix(v, "of"):
		return EmulationOff
	}
	return EmulationOn
}

// namesBPF reads lsm=: the last one counts.
func namesBPF(values []string) int64 {
	if len(values) == 0 {
		return 0
	}
	if slices.Contains(strings.Split(values[len(values)-1], ","), "bpf") {
		return 1
	}
	return LSMWithoutBPF
}

// lists reports whether one of the words is in one of the comma-separated
// values: each occurrence of the argument adds to the ones before.
func lists(words ...string) func(values []string) int64 {
	return func(values []string) int64 {
		for _, v := range values {
			for _, w := range strings.Split(v, ",") {
				if slices.Contains(words, w) {
					return on
				}
			}
		}
		return off
	}
}
