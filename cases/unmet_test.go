package cases

import (
	"testing"

	"tokentest/cases/step"
)

// A case that comes to a type which is not compiled in is not asked; one that is refused before is.
func TestLacks(t *testing.T) {
	const head = "needs token\nactor owner userns uid=1000\n" +
		"owner bpffs cmds=any maps=any progs=any attachs=any -> b\nowner token_create bpffs=b -> t\n" +
		"control owner map_create type=hash token=t\ncontrol nobody map_create type=hash => EPERM\n"
	off := func(symbols ...string) *step.Facts {
		return &step.Facts{Release: "6.12.1", Token: true, ConfigOff: symbols, OptionsFrom: step.FromBTF}
	}
	const btf = "DEBUG_INFO_BTF"
	untyped := off()
	untyped.TypesOff = []string{"func bpf_lsm_file_open"}
	known := off()
	known.Config = map[string]string{"NET": "n"}
	withLSM := off()
	withLSM.LSM = []string{"capability", "bpf"}
	for _, tt := range []struct {
		name, text string
		f          *step.Facts
		want       string
	}{
		{"everything there", "owner prog_load type=xdp token=t", off(), ""},
		{"a program", "owner prog_load type=xdp token=t", off("NET"), "NET"},
		{"a program, from the configuration", "owner prog_load type=xdp token=t", known, "NET"},
		{"a program that is refused before", "nobody prog_load type=xdp => EPERM", off("NET"), ""},
		{"a map", "owner map_create type=devmap token=t", off("NET"), "NET"},
		{"a map: its type is looked up first", "nobody map_create type=devmap => EPERM", off("NET"), "NET"},
		{"another option", "owner map_create type=devmap token=t", off("INET"), ""},
		{"a command", "root call cmd=prog_test_run", off("NET"), "NET"},
		{"a command on a tracing program", "root call cmd=iter_create", off("BPF_EVENTS"), "BPF_EVENTS"},
		{"an application's helper", "owner bpffs at=/mnt/a cmds=any maps=any progs=any attachs=any\nowner library make=prog",
			off("BPF_EVENTS"), "BPF_EVENTS"},
		{"an application that is refused", "owner library make=prog caps=none => EPERM", off("BPF_EVENTS"), ""},
		{"a helper", "owner prog_load type=socket_filter prog=get_current_task token=t", off("BPF_EVENTS"), "BPF_EVENTS"},
		{"no helper", "owner prog_load type=socket_filter token=t", off("BPF_EVENTS"), ""},
		{"a watch", "owner file t watch", off("INOTIFY_USER"), "INOTIFY_USER"},
		{"no watch", "owner file t read => EINVAL", off("INOTIFY_USER"), ""},
		{"a signature", "owner prog_load type=xdp sign=64 token=t => ?", off("SYSTEM_DATA_VERIFICATION"),
			"SYSTEM_DATA_VERIFICATION"},
		{"a Landlock domain", "owner open of=b landlock=1 => EACCES", off("SECURITY_LANDLOCK"), "SECURITY_LANDLOCK"},
		{"a Landlock domain of a call that is refused", "root mount at=/mnt/a landlock=1 => EPERM",
			off("SECURITY_LANDLOCK"), "SECURITY_LANDLOCK"},
		{"a call of 32 bits that is refused", "nobody map_create type=hash compat=1 => EPERM", off("IA32_EMULATION"),
			"IA32_EMULATION"},
		{"a Landlock domain, and lsm= without it", "owner open of=b landlock=1 => EACCES", withLSM, "landlock"},
		{"a domain of SELinux", "root selinux enforcing\nowner map_create type=hash token=t selinux=no_map_read",
			off("SECURITY_SELINUX"), "SECURITY_SELINUX"},
		{"a domain of SELinux, and AppArmor is active", "root selinux enforcing\nowner token_create bpffs=b selinux=other",
			withLSM, "selinux"},
		{"a hook of paths", "root lsm hook=path_mknod of=owner errno=ENOSPC", off("SECURITY_PATH"), "SECURITY_PATH"},
		{"another hook", "root lsm hook=bpf of=owner errno=ENOSPC", off("SECURITY_PATH"), ""},
		{"a check that comes after BTF", "owner map_create type=hash token=t -> m\n" +
			"owner prog_load type=socket_filter prog=read_map map=m token=t caps=CAP_BPF => EPERM", off(btf), btf},
		{"a check that comes before BTF", "root sysctl unprivileged_bpf_disabled=0\n" +
			"owner prog_load type=socket_filter prog=kfunc token=t caps=none => EPERM", off(btf), ""},
		{"a helper that returns a type", "owner prog_load type=socket_filter helper=get_current_task_btf token=t", off(btf),
			btf},
		{"a struct_ops map", "root call cmd=prog_assoc_struct_ops => ?", off(btf), btf},
		{"a field with a type of the kernel", "owner btf_load field=kptr token=t", off(btf), btf},
		{"a field without one", "owner btf_load field=timer token=t", off(btf), ""},
		{"a type of the kernel's BTF", "owner prog_load type=lsm attach=lsm_mac token=t", untyped, "func bpf_lsm_file_open"},
	} {
		g, err := parseAndExpand(head + tt.text + "\n")
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		got := ""
		if n := g.Cases[0].UnmetByStep(tt.f); n != nil {
			got = n.Name
		}
		if got != tt.want {
			t.Errorf("%s: lacks %q, want %q", tt.name, got, tt.want)
		}
	}
	g, err := parseAndExpand("needs token\nactor owner userns uid=1000\nroot prog_load type=xdp -> p\n" +
		"owner bpffs cmds=any maps=any -> b\nowner token_create bpffs=b -> t\naxis who owner nobody\n" +
		"do $who map_create type=hash token=t\ncontrol allow who=owner\ncontrol refuse who=nobody\n")
	if err != nil {
		t.Fatal(err)
	}
	if g.Cases[0].UnmetByStep(off("NET")) == nil {
		t.Error("a set-up that cannot be made lacks nothing")
	}
}
