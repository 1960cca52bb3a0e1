package oracle

import "slices"

// Rules lists the stable names of the rules that can decide a call, except
// those of bpffs/.
func Rules() []string {
	out := slices.Concat(
		names("token_create", tokenCreateRules),
		names("map_create", mapCreateRules),
		names("prog_load", progLoadRules),
		names("btf_load", btfLoadRules),
		names("lsm", lsmRules),
		names("lsm_ran", lsmRanRules),
		names("kallsyms", symbolRules),
		names("barriers", instructionRules),
		FileRules(),
	)
	out = slices.Concat(out, callRuleNames(), attachRuleNames())
	slices.Sort(out)
	return slices.Compact(out) // call has rules of the same checks
}

// attachRuleNames are those about programs that are attached, without those that every command has.
func attachRuleNames() []string {
	own := func(cmd string, rules []rule[*Attach]) []string { return names(cmd, rules[len(attachHead):]) }
	return slices.Concat(
		own("link_create", linkRules), own("raw_tracepoint_open", rawTPRules),
		own("prog_attach", attachRules), own("prog_detach", detachRules),
		names("link_update", linkUpdateRules[1:]),
		names("link_detach", linkDetachRules[1:]),
		names("iter_create", iterCreateRules[1:]),
	)
}

// callRuleNames are those of a Call, and of a Sysctl.
func callRuleNames() []string {
	out := names("call", callRules)
	for i := range otherCommands {
		out = append(out, names(otherCommands[i].cmd.String(), otherCommands[i].rules)...)
	}
	return append(out, names("sysctl", sysctlRules)...)
}

// FileRules lists the names of the rules about calls on bpffs, descriptors and
// processes, and about objects that a case names itself.
func FileRules() []string {
	out := slices.Concat(
		names("fsopen", fsopenRules),
		names("fsconfig", fsconfigRules),
		names("fscreate", fscreateRules),
		names("fsreconfigure", fsreconfigureRules),
		names("fsmount", fsmountRules),
	)
	for _, what := range []string{Fspick, CloneMount, Bind, MoveMount, Umount, Share} {
		out = append(out, names(what, mountCallRules[what])...)
	}
	out = slices.Concat(out,
		names("mount", mountRules),
		names("remount", remountRules),
		names("open", openRules),
		names("chmod", chmodRules),
		names("token_info", tokenInfoRules),
		names(PidfdGetfd, takeRules[PidfdGetfd]),
		names(ProcOpen, takeRules[ProcOpen]),
		names(ProcFdinfo, takeRules[ProcFdinfo]),
		names("mount_attr", mountAttrRules),
		names("file", fileRules),
		names("xattr", xattrRules),
		names("setns", setnsRules),
		names("dup", dupRules),
		names("element", elementRules[1:]),   // without lsm-bpf, which every command has
		names("get_pinned", objGetRules[1:]), // likewise
		names("map_freeze", freezeRules[1:]),
		names("batch", batchRules[1:]),
		names("mmap", mmapRules),
		names("prog_info", progInfoRules[1:]),
		names("link_info", linkInfoRules[1:]),
		names("query_event", queryEventRules),
		names("write_sysctl", writeSysctlRules),
		names("run_prog", runProgRules[1:]),
	)
	for _, what := range []string{Pin, Mkdir, Link, Symlink} {
		out = append(out, names(what, nameRules[what])...)
	}
	return out
}

// LimitRules lists the names of the rules that few cases meet: those about the
// limits of a process, and about the run of a program that makes a request.
func LimitRules() []string {
	return []string{
		"token_create/no-file", "map_create/lsm-bpf-run", "map_create/no-memory", "map_create/no-fd",
		"prog_load/no-fd", "btf_load/no-fd", "call/lsm-bpf-run", "call/kernel-command",
		"map_update_elem/kernel-key", "map_delete_elem/kernel-key",
	}
}

func names[R any](cmd string, rules []rule[R]) []string {
	var out []string
	for i := range rules {
		if !rules[i].blind {
			out = append(out, cmd+"/"+rules[i].id)
		}
	}
	return out
}
