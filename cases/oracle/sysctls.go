package oracle

import "tokentest/cases/uapi"

// SysctlFile is a sysctl of bpf(2) that a process writes.
type SysctlFile uint8

// The sysctls.
const (
	FileUnprivDisabled SysctlFile = iota // kernel.unprivileged_bpf_disabled
	FileStats                            // kernel.bpf_stats_enabled
	FileRestrict                         // kernel.kptr_restrict
	FileJITEnable                        // net.core.bpf_jit_enable
	FileJITHarden                        // net.core.bpf_jit_harden
	FileJITLimit                         // net.core.bpf_jit_limit
)

// jit reports whether the sysctl is one of the network's, of which net_ctl_permissions decides.
func (f SysctlFile) jit() bool { return f >= FileJITEnable }

// sysctlTop are the greatest values.
var sysctlTop = map[SysctlFile]int{FileUnprivDisabled: sysctlMax, FileStats: 1, FileRestrict: 2,
	FileJITEnable: 2, FileJITHarden: 2}

// JITDump is the value of net.core.bpf_jit_enable with which the kernel prints what it compiles.
const JITDump = 2

// WriteSysctl is a write of a process to a sysctl of bpf(2).
type WriteSysctl struct {
	File  SysctlFile
	Value int
}

type writeCall = call[*WriteSysctl]

// sysctlNeedsAdmin is the check of a sysctl's own function.
func sysctlNeedsAdmin(id, fn string, of ...SysctlFile) rule[*WriteSysctl] {
	return rule[*WriteSysctl]{id: id, fn: fn, errno: ePERM, text: "the caller lacks CAP_SYS_ADMIN " + initialNS,
		holds: func(c *writeCall) bool {
			for _, f := range of {
				if c.req.File == f {
					return !c.Caller.capable(Initial, uapi.CAP_SYS_ADMIN)
				}
			}
			return false
		}}
}

var writeSysctlRules = []rule[*WriteSysctl]{
	{id: "mode", fn: "proc_sys_permission", errno: eACCES, text: "the file is writable for root of the initial namespace",
		holds: func(c *writeCall) bool { return c.Caller.Euid != 0 && !c.req.File.jit() }},
	{id: "net-mode", fn: "net_ctl_permissions", errno: eACCES,
		text: "the file is writable for root of the initial namespace, and with CAP_NET_ADMIN there",
		holds: func(c *writeCall) bool {
			return c.req.File.jit() && c.Caller.Euid != 0 && !c.Caller.capable(Initial, uapi.CAP_NET_ADMIN)
		}},
	sysctlNeedsAdmin("no-cap-sys-admin", "bpf_unpriv_handler", FileUnprivDisabled, FileStats),
	sysctlNeedsAdmin("restrict-no-cap-sys-admin", "proc_dointvec_minmax_sysadmin", FileRestrict),
	sysctlNeedsAdmin("jit-no-cap-sys-admin", "proc_dointvec_minmax_bpf_enable", FileJITEnable),
	sysctlNeedsAdmin("harden-no-cap-sys-admin", "proc_dointvec_minmax_bpf_restricted", FileJITHarden),
	sysctlNeedsAdmin("limit-no-cap-sys-admin", "proc_dolongvec_minmax_bpf_restricted", FileJITLimit),
	{id: "range", fn: "proc_dointvec_minmax", errno: eINVAL, text: "the value is out of the sysctl's range",
		holds: func(c *writeCall) bool {
			top, bounded := sysctlTop[c.req.File]
			if limit := c.Kernel.JITLimit; c.req.File == FileJITLimit { // proc_dolongvec_minmax: bpf_jit_limit_max
				return c.req.Value < 1 || limit != 0 && c.req.Value > limit
			}
			return c.req.Value < 0 || bounded && c.req.Value > top
		}},
	{id: "always-compiled", fn: "proc_dointvec_minmax_bpf_enable", errno: eINVAL,
		when:  func(s *Settings) bool { return s.AlwaysCompiles },
		text:  "the kernel has CONFIG_BPF_JIT_ALWAYS_ON, and bpf_jit_enable is 1",
		holds: func(c *writeCall) bool { return c.req.File == FileJITEnable && c.req.Value != 1 }},
	{id: "jit-not-modelled", blind: true,
		text: "the oracle does not cover a kernel that stops to compile, or a limit that is used up in part",
		holds: func(c *writeCall) bool {
			switch c.req.File {
			case FileJITEnable:
				return c.req.Value == 0
			case FileJITLimit:
				return c.req.Value != 1 && c.req.Value < enoughJIT
			}
			return false
		}},
	{id: "dump", fn: "proc_dointvec_minmax_bpf_enable", errno: ePERM,
		when: func(s *Settings) bool { return s.HidesPointers != 0 },
		text: "2 prints addresses of the kernel, which the caller may not see: bpf_dump_raw_ok",
		holds: func(c *writeCall) bool {
			return c.req.File == FileJITEnable && c.req.Value == JITDump && c.Kernel.hidesPointers(c.Caller)
		}},
	{id: "locked", fn: "bpf_unpriv_handler", errno: ePERM,
		text: "kernel.unprivileged_bpf_disabled is 1, which is final",
		holds: func(c *writeCall) bool {
			return c.req.File == FileUnprivDisabled && c.UnprivDisabled == SysctlLocked && c.req.Value != SysctlLocked
		}},
}

// enoughJIT is a limit that the programs of a world do not use up.
const enoughJIT = 32 << 20

func (r *WriteSysctl) decide(w *World, trace *[]Line) Verdict {
	return run(w, "write_sysctl", r, nil, writeSysctlRules, trace)
}

// Apply is what a write that is allowed makes of the settings.
func (r *WriteSysctl) Apply(s Settings) Settings {
	switch r.File {
	case FileRestrict:
		s.HidesPointers = HidesPointers(r.Value, s.NoProfiling)
	case FileJITEnable:
		s.NoJIT = false
	case FileJITHarden:
		s.Blinds = r.Value
	case FileJITLimit:
		s.JITFull = r.Value == 1
	}
	return s
}
