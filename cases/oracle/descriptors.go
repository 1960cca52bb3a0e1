package oracle

import "tokentest/cases/uapi"

// Take is pidfd_getfd(2), or an open of /proc/PID/fd/N, of another process.
// Victim is the credentials of that process's first thread.
type Take struct {
	What   string
	FD     FD
	Victim Cred
	Own    bool // the process is the caller's own
}

// The calls of a Take.
const (
	PidfdGetfd = "pidfd_getfd"
	ProcOpen   = "proc_open"
	ProcFdinfo = "proc_fdinfo" // an open of /proc/PID/fdinfo/N
)

type takeCall = call[*Take]

const traceText = "the caller must not trace the process"

var takeRules = map[string][]rule[*Take]{
	PidfdGetfd: {
		{id: "ptrace", fn: "__ptrace_may_access", errno: ePERM, text: traceText,
			holds: func(c *takeCall) bool { return !c.req.mayTrace(c.Caller) }},
		{id: "yama", fn: "yama_ptrace_access_check", errno: ePERM, when: func(s *Settings) bool { return s.NoAttach },
			text:  "kernel.yama.ptrace_scope is 3: no process may attach to another",
			holds: func(c *takeCall) bool { return !c.req.Own }},
		{id: "bad-fd", fn: "__pidfd_fget", errno: eBADF, text: "the process does not have the descriptor",
			holds: func(c *takeCall) bool { return c.req.FD.Kind == Closed }},
		selinuxObject("bpf_fd_pass", func(c *takeCall) *FD { return &c.req.FD }),
	},
	// Since 6.11 the directory asks, before that the file; the answer is the same where the descriptor is there.
	ProcFdinfo: {
		{id: "ptrace", fn: "proc_fdinfo_permission", errno: eACCES, text: traceText,
			holds: func(c *takeCall) bool { return !c.req.mayTrace(c.Caller) }},
		{id: "bad-fd", fn: "proc_lookupfd_common", errno: eNOENT, text: "the process does not have the descriptor",
			holds: func(c *takeCall) bool { return c.req.FD.Kind == Closed }},
	},
	ProcOpen: {
		{id: "search", fn: "proc_fd_permission", errno: eACCES,
			text:  "the mode of /proc/PID/fd does not let the caller search it",
			holds: func(c *takeCall) bool { return !c.req.searches(c.Caller) }},
		{id: "bad-fd", fn: "proc_lookupfd_common", errno: eNOENT, text: "the process does not have the descriptor",
			holds: func(c *takeCall) bool { return c.req.FD.Kind == Closed }},
		{id: "ptrace", fn: "proc_pid_get_link", errno: eACCES, text: traceText,
			holds: func(c *takeCall) bool { return !c.req.mayTrace(c.Caller) }},
	},
}

// searches reports whether the caller may look a name up in /proc/PID/fd, a
// directory of mode 0500 that belongs to the process: proc_fd_permission.
func (r *Take) searches(c Cred) bool {
	return r.Own || Inode{UID: r.Victim.Euid, GID: r.Victim.Euid, Mode: 0o500}.permits(c, mayExec)
}

// mayTrace mirrors __ptrace_may_access and cap_ptrace_access_check.
func (r *Take) mayTrace(c Cred) bool {
	if r.Own {
		return true
	}
	traces := c.capable(r.Victim.Userns, uapi.CAP_SYS_PTRACE)
	if c.Euid != r.Victim.Euid && !traces {
		return false
	}
	return traces || c.Userns == r.Victim.Userns && r.Victim.Caps&^c.Caps == 0
}

func (r *Take) decide(w *World, trace *[]Line) Verdict {
	return run(w, r.What, r, nil, takeRules[r.What], trace)
}

// Dup is dup(2) or fcntl(2) of a descriptor. Both take O_PATH descriptors.
type Dup struct{ FD FD }

var dupRules = []rule[*Dup]{
	{id: "bad-fd", fn: "fcntl", errno: eBADF, text: "the descriptor is not open",
		holds: func(c *call[*Dup]) bool { return c.req.FD.Kind == Closed }},
}

func (r *Dup) decide(w *World, trace *[]Line) Verdict { return run(w, "dup", r, nil, dupRules, trace) }

// Setns is setns(2) with CLONE_NEWUSER, by a process with one thread.
type Setns struct{ FD FD }

type setnsCall = call[*Setns]

var setnsRules = []rule[*Setns]{
	{id: "bad-fd", fn: "setns", errno: eBADF, text: badFDText,
		holds: func(c *setnsCall) bool { return c.req.FD.notOpen() }},
	{id: "no-namespace", fn: "setns", errno: eINVAL, text: "the descriptor is not a user namespace",
		holds: func(c *setnsCall) bool { return c.req.FD.Kind != UsernsFD }},
	{id: "same", fn: "userns_install", errno: eINVAL, text: "the caller is already in that user namespace",
		holds: func(c *setnsCall) bool { return c.req.FD.Userns == c.Caller.Userns }},
	{id: "no-cap", fn: "userns_install", errno: ePERM,
		text: "the caller lacks CAP_SYS_ADMIN in the user namespace that it enters",
		holds: func(c *setnsCall) bool {
			return c.req.FD.Userns != nil && !c.Caller.capable(c.req.FD.Userns, uapi.CAP_SYS_ADMIN)
		}},
}

func (r *Setns) decide(w *World, trace *[]Line) Verdict {
	return run(w, "setns", r, nil, setnsRules, trace)
}
