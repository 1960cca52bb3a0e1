package draw

import "tokentest/cases/step"

// someMap draws a map and an actor that has it most often.
func (d *drawer) someMap() (who, name string) {
	if len(d.maps) == 0 || d.in(6) {
		return d.actor(), d.any()
	}
	m := pick(d, d.maps...)
	if d.in(4) {
		return d.actor(), m.name
	}
	return m.owner, m.name
}

func (d *drawer) freezes() {
	who, m := d.someMap()
	d.step("%s freeze %s%s", who, m, d.withCaps())
}

func (d *drawer) batches() {
	who, m := d.someMap()
	d.step("%s batch %s %s%s", who, m, pick(d, "update", "lookup", "delete", "take"), d.withCaps())
}

// mapsMemory maps a map that is there, or one that is made to be mapped.
func (d *drawer) mapsMemory() {
	who, m := d.someMap()
	if !d.in(3) {
		token := ""
		if who = pick(d, "root", "root", pick(d, d.present()...).owner); who != "root" {
			token = d.withToken()
		}
		m = d.made("m", "%s map_create type=%s%s", who, pick(d, "array flags=0x400", "array flags=0x480",
			"array flags=0x408", "array", "ringbuf", "user_ringbuf"), token)
		d.maps = append(d.maps, drawnHandle{m, who})
		d.others = append(d.others, m)
	}
	for range 1 + d.IntN(3) {
		d.step("%s mmap %s%s", who, m, pick(d, "", " write=1", " write=1"))
		if d.in(2) {
			d.step("%s freeze %s%s", who, m, d.withCaps())
		}
	}
}

func (d *drawer) looksAtProgram() {
	if len(d.attachable) == 0 || d.in(4) {
		d.step("%s prog_info %s%s", d.actor(), d.any(), d.withCaps())
		return
	}
	p := pick(d, d.attachable...)
	d.step("%s prog_info %s%s", p.owner, p.name, d.withCaps())
}

// writesSysctl leaves out the value that cannot be changed any more.
func (d *drawer) writesSysctl() {
	d.step("%s write_sysctl %s%s", pick(d, d.actor(), "root"),
		pick(d, "unprivileged_bpf_disabled=0", "unprivileged_bpf_disabled=2", "unprivileged_bpf_disabled=3",
			"bpf_stats_enabled=0", "bpf_stats_enabled=2", "kptr_restrict=0", "kptr_restrict=1", "kptr_restrict=2",
			"kptr_restrict=3", "bpf_jit_enable=1", "bpf_jit_enable=3", "bpf_jit_harden=0",
			"bpf_jit_harden=1", "bpf_jit_harden=2", "bpf_jit_harden=3", "bpf_jit_limit=1", "bpf_jit_limit=0x10000000"),
		d.withCaps())
}

// opensKernelBTF has a process open the kernel's BTF, which maps and programs then name.
func (d *drawer) opensKernelBTF() {
	who := pick(d, "root", d.actor())
	f := d.made("v", "%s kernel_btf%s", who, d.withCaps())
	d.btfs, d.others = append(d.btfs, f), append(d.others, f)
	if to := d.other(who); d.in(2) {
		d.step("%s send %s %s", who, f, to)
	}
}

// field draws the special field of a BTF.
func (d *drawer) field() string {
	if d.in(3) {
		return " field=" + pick(d, step.Fields[1:]...)
	}
	return pick(d, "", " lock=1")
}
