package draw

import (
	"fmt"
	"slices"

	"tokentest/cases/step"
)

// drawnProgram is a program that some target takes.
type drawnProgram struct {
	drawnHandle
	to string
}

// attachedPrograms are programs by the target that takes them. Those that patch the kernel's code are left to the
// scenarios: they take long.
var attachedPrograms = map[string]string{
	"xdp": "type=xdp attach=xdp", "tcx": "type=sched_cls", "netkit": "type=sched_cls",
	"netfilter": "type=netfilter attach=netfilter", "sk_lookup": "type=sk_lookup attach=sk_lookup",
	"flow_dissector": "type=flow_dissector", "cgroup_skb": "type=cgroup_skb", "cgroup_device": "type=cgroup_device",
	"cgroup_sock": "type=cgroup_sock", "sock_ops": "type=sock_ops", "sk_msg": "type=sk_msg",
	"iter": "type=tracing attach=trace_iter", "perf_event": "type=perf_event", "cgroup_sysctl": "type=cgroup_sysctl",
	"kprobe": "type=kprobe",
}

// attachedProgram draws a program for a target that has one, or loads one.
func (d *drawer) attachedProgram() drawnProgram {
	if len(d.attachable) > 0 && !d.in(3) {
		return pick(d, d.attachable...)
	}
	to := pick(d, sortedKeys(attachedPrograms)...)
	who, token := d.actor(), ""
	if len(d.tokens) > 0 && !d.in(6) {
		who, token = pick(d, d.present()...).owner, " token="+pick(d, d.tokens...)
	}
	p := drawnProgram{drawnHandle{d.made("q", "%s prog_load %s%s", who, attachedPrograms[to], token), who}, to}
	d.attachable, d.others = append(d.attachable, p), append(d.others, p.name)
	if d.in(2) {
		to := d.other(who)
		d.step("%s send %s %s", who, p.name, to)
		p.owner = to
	}
	return p
}

func sortedKeys(m map[string]string) []string {
	var out []string
	for _, name := range step.Spots {
		if m[name] != "" {
			out = append(out, name)
		}
	}
	return out
}

// spot is most often the target of a program.
func (d *drawer) spot(right string) string {
	if d.in(8) {
		return pick(d, step.Spots[1:]...)
	}
	return right
}

// attachFlags draws flags, most often those that a target takes.
func (d *drawer) attachFlags() string {
	return pick(d, "", "", "", "", " flags=0x2", " flags=0x1", " flags=0x8", " flags=0x10", " flags=0x4", " flags=0x100",
		fmt.Sprintf(" flags=%#x", d.flags(7)))
}

func (d *drawer) attaches() {
	p := d.attachedProgram()
	flags := ""
	if d.in(6) {
		flags = d.attachFlags()
	}
	l := d.made("l", "%s attach_link %s to=%s%s%s%s", p.owner, d.descriptor(p.name), d.spot(p.to), flags, d.fault("tail"),
		d.withCaps())
	d.bonds, d.others = append(d.bonds, drawnHandle{l, p.owner}), append(d.others, l)
	if d.in(2) {
		to := d.other(p.owner)
		d.step("%s send %s %s", p.owner, l, to)
		d.bonds = append(d.bonds, drawnHandle{l, to})
	}
}

// beside draws the program or the link next to which one is put.
func (d *drawer) beside() string {
	switch d.IntN(8) {
	case 0:
		return " id=1000000000" + pick(d, " flags=0x20", " flags=0x28", "")
	case 1:
		return pick(d, " flags=0x8", " flags=0x10", "") + " relative=" + d.any()
	case 2:
		if len(d.bonds) > 0 {
			return " flags=0x2008 relative=" + pick(d, d.bonds...).name
		}
	}
	return d.attachFlags()
}

func (d *drawer) attachesProg() {
	p := d.attachedProgram()
	where := d.beside()
	if d.in(6) { // in the place of another
		old := d.any()
		for _, other := range d.attachable {
			if other.owner == p.owner && other.to == p.to && d.in(2) {
				old = other.name
			}
		}
		where = pick(d, " flags=0x4", " flags=0x6", " flags=0x6", "", " flags=0x14") + " old=" + old
	}
	d.step("%s attach_prog %s to=%s%s%s%s", p.owner, d.descriptor(p.name), d.spot(p.to), where, d.fault("tail"),
		d.withCaps())
	if to := d.queried(p.to); to != "" {
		d.step("root attached to=%s", to)
	}
}

func (d *drawer) queried(to string) string {
	if slices.ContainsFunc(step.Queried, func(s step.Spot) bool { return s.Shape().Name == to }) {
		return to
	}
	return ""
}

func (d *drawer) detachesProg() {
	p := d.attachedProgram()
	prog := pick(d, "", " prog="+d.descriptor(p.name))
	if d.in(4) {
		prog += d.beside()
	}
	d.step("%s detach_prog to=%s%s%s%s", pick(d, p.owner, d.actor()), d.spot(p.to), prog, d.fault("tail"), d.withCaps())
	if to := d.queried(p.to); to != "" {
		d.step("root attached to=%s", to)
	}
}

// bond draws a link and an actor that may have it.
func (d *drawer) bond() drawnHandle {
	if len(d.bonds) == 0 || d.in(8) {
		return drawnHandle{d.any(), d.actor()}
	}
	return pick(d, d.bonds...)
}

func (d *drawer) updatesLink() {
	l, p := d.bond(), d.attachedProgram()
	old := ""
	if d.in(4) {
		old = " old=" + d.descriptor(p.name)
	}
	d.step("%s update_link %s %s%s%s", l.owner, l.name, p.name, old, d.withCaps())
}

func (d *drawer) detachesLink() {
	l := d.bond()
	d.step("%s detach_link %s%s", l.owner, l.name, d.withCaps())
}

func (d *drawer) looksAtLink() {
	l := d.bond()
	d.step("%s link_info %s%s", l.owner, l.name, d.withCaps())
}

func (d *drawer) asksEvent() { d.step("%s query_event%s", d.actor(), d.withCaps()) }

func (d *drawer) iterates() {
	l := d.bond()
	d.step("%s iterate %s%s", l.owner, l.name, d.withCaps())
}
