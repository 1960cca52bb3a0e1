package draw

import (
	"fmt"
	"slices"
	"strings"

	"tokentest/cases"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// calls draw the calls under test. The weight of each is in the table of operations. If a
// function returns no actor, cell draws one.
var calls = [step.Ops]func(d *drawer) (who, call string){
	step.OpTokenCreate: (*drawer).tokenCall,
	step.OpMapCreate:   (*drawer).mapCall,
	step.OpProgLoad:    (*drawer).progCall,
	step.OpBTFLoad:     (*drawer).btfCall,
	step.OpCall:        (*drawer).command,
	step.OpOpen:        (*drawer).openCall,
	step.OpStat:        (*drawer).statCall,
	step.OpMountinfo:   (*drawer).mountinfoCall,
	step.OpFdinfo:      (*drawer).fdinfoCall,
	step.OpTokenInfo:   (*drawer).tokenInfoCall,
	step.OpSetns:       (*drawer).setnsCall,
	step.OpFile:        (*drawer).fileCall,
	step.OpProcFdinfo:  (*drawer).procFdinfoCall,
}

// cell draws a call under test and the actor that makes it.
func (d *drawer) cell() string {
	op := d.drawOp(func(w step.Drawn) int { return w.Cell })
	who, call := calls[op](d)
	if who == "" {
		who = d.caller()
	}
	if op.Row().Timed { // a command of bpf(2)
		switch {
		case strings.Contains(call, " inside=") || strings.Contains(call, " kernel="):
		case d.in(16) && (op == step.OpCall || !strings.Contains(call, " common=")):
			call += " compat=1"
		case d.in(8) && !strings.Contains(call, " common="):
			own := (op == step.OpProgLoad || op == step.OpBTFLoad) && !strings.Contains(call, " log=")
			call += " common=" + d.commonAttrs(own)
		}
		return d.sandboxed(d.asAnother(who+" "+call)) + d.withCaps()
	}
	return d.sandboxed(d.asAnother(who+" "+call)) + d.mountCaps()
}

// commonAttrs draws what the common attributes of a call are; own says that the command can have a log of its own.
func (d *drawer) commonAttrs(own bool) string {
	for {
		n := step.Common(1 + d.IntN(len(step.Commons)-1))
		if own || n != step.CommonSame && n != step.CommonOther {
			return step.Commons[n]
		}
	}
}

// caller draws an actor, half of the time one that has a bpffs.
func (d *drawer) caller() string { return pick(d, d.actor(), pick(d, d.present()...).owner) }

// commandNumbers are more than a kernel has commands.
const commandNumbers = 42

// slowCommands attach programs and wait for RCU.
var slowCommands = []uapi.Cmd{uapi.BPF_RAW_TRACEPOINT_OPEN, uapi.BPF_LINK_CREATE, uapi.BPF_LINK_DETACH,
	uapi.BPF_PROG_ATTACH,
	uapi.BPF_PROG_DETACH, uapi.BPF_ITER_CREATE, uapi.BPF_ENABLE_STATS}

// command draws a call of a command that makes no object.
func (d *drawer) command() (who, call string) {
	s := pick(d, step.CmdShapes...)
	for slices.Contains(slowCommands, s.Cmd) && !d.in(5) {
		s = pick(d, step.CmdShapes...)
	}
	who, call = d.actor(), "call cmd="+s.Cmd.String()
	takesToken := step.TokenCmdOf(s.Cmd) != nil
	attaches := s.Cmd == uapi.BPF_PROG_ATTACH || s.Cmd == uapi.BPF_LINK_CREATE
	switch {
	case takesToken && d.in(2):
		who, call = pick(d, who, pick(d, d.present()...).owner), call+d.withToken()
	case attaches && len(d.others) > 0 && d.in(8):
		call += " prog=" + d.any()
	case attaches && len(d.programs) > 0 && d.in(2):
		p := pick(d, d.programs...)
		if !d.isAbsent(p.owner) {
			who = p.owner
		}
		call += " prog=" + p.name
	case attaches && d.in(3):
		call += " on=cgroup_skb"
	case s.Cmd == uapi.BPF_PROG_DETACH && d.in(2):
		call += " on=tcx"
	case s.Cmd == uapi.BPF_OBJ_GET && d.in(2):
		call += " on=private"
	}
	if takesToken && d.in(5) {
		call += pick(d, " id=2147483647", " id=2147483646", " id=1000000000", " id=4294967295")
	}
	if d.in(12) {
		call += " common=empty"
	}
	if d.in(12) {
		return who, call + " kernel=1"
	}
	if d.in(16) {
		return who, fmt.Sprintf("call cmd=%d", uapi.BPF_COMMON_ATTRS|uapi.Cmd(d.IntN(commandNumbers)))
	}
	return who, call + d.fault("tail")
}

// fault draws a fault of the whole attribute, most often none. more is the fault that only
// this command can have.
func (d *drawer) fault(more string) string {
	if !d.in(16) {
		return ""
	}
	return " attr=" + pick(d, more, "beyond", "huge", "unreadable")
}

func (d *drawer) fdinfoCall() (who, call string) {
	return pick(d, d.present()...).owner, "fdinfo " + d.any()
}

func (d *drawer) tokenInfoCall() (who, call string) {
	of, lengths := d.any(), []string{"", "", " len=0", " len=8", " len=31", " len=4097"}
	if slices.Contains(d.tokens, of) { // the guest knows how long a token's information is, and no other's
		lengths = append(lengths, " len=33", " len=4096")
	}
	return d.actor(), "token_info " + of + pick(d, lengths...)
}

func (d *drawer) statCall() (who, call string) {
	b := pick(d, d.present()...)
	if d.in(2) {
		return b.owner, "stat " + d.any()
	}
	return b.owner, "stat " + b.name
}

func (d *drawer) mountinfoCall() (who, call string) {
	return pick(d, d.present()...).owner, "mountinfo at=" + d.place() + pick(d, "", "", " by=statmount")
}

func (d *drawer) fileCall() (who, call string) {
	return pick(d, d.present()...).owner, "file " + d.any() + " " + pick(d, step.FileDos[1:]...)
}

func (d *drawer) procFdinfoCall() (who, call string) {
	who = d.actor()
	return who, "proc_fdinfo " + d.any() + " from=" + d.other(who)
}

func (d *drawer) setnsCall() (who, call string) {
	b := pick(d, d.present()...)
	return d.actor(), "setns " + pick(d, append(slices.Clone(d.namespaces), b.name)...)
}

func (d *drawer) openCall() (who, call string) {
	b := pick(d, d.present()...)
	odd := " path=" + pick(d, oddNames...)
	return d.actor(), "open of=" + b.name + pick(d, "", " how=path", " path=pin0", " path=pin1", odd)
}

// within draws a user namespace to enter before the call.
func (d *drawer) within() string {
	if len(d.namespaces) == 0 || !d.in(4) {
		return ""
	}
	return " inside=" + pick(d, d.namespaces...) + pick(d, "", "", " then="+d.caps())
}

// common draws the arguments that every call which makes an object takes.
func (d *drawer) common() string {
	s := d.withToken()
	if len(d.tokens) > 0 && s == "" && d.in(4) {
		s = " token_fd=" + d.descriptor(pick(d, d.tokens...))
	}
	return s + d.within()
}

// mapOverrides are arguments that differ from what a map's type needs.
var mapOverrides = []string{
	"key=0", "key=4", "key=8", "key=3", "key=16", "key=600", "value=0", "value=4", "value=8", "value=6", "value=1024",
	"value=0x80000000", "value=4096 max=4096", "max=0", "max=1", "max=3", "max=4096", "extra=1", "extra=16", "numa=1000",
	"flags=4 numa=1000", "flags=4", "inner=closed", "btf=closed btf_value=1", "btf_key=1", "btf_value=1",
	"btf_key=1 btf_value=0", "vmlinux=1", "ifindex=1", "ifindex=1000", "name=fine", "name=a-b", "name=a.b_9",
	"name=abcdefghijklmnop", "no_fd=1", "memlock=0", "excl=32", "excl=31",
	"excl_signed=1",
}

// progOverrides are the same for a program.
var progOverrides = []string{
	"log=1", "log=16", "flags=0x10000", "insns=0", "insns=1000001", "attach_fd=closed", "attach_btf_id=0",
	"attach_btf_id=1", "attach_btf_id=0x100000", "ifindex=1", "ifindex=1000", "name=fine", "name=a-b",
	"name=abcdefghijklmnop", "no_fd=1", "sign=64", "sign=0", "sign=64 keyring=12345", "sign=64 keyring=2",
	"lines=1", "signed=1", "signed=1 keyring=0", "signed=1 keyring=12345",
}

var btfOverrides = []string{
	"junk=1", "loop=1", "lock=1", "field=timer", "field=kptr", "log=1", "log=16", "flags=0x10000", "flags=1", "no_fd=1",
}

// mapOverride draws one, among them each flag and the descriptors of the world.
func (d *drawer) mapOverride() string {
	switch {
	case d.in(4):
		return fmt.Sprintf("flags=%#x", d.flags(mapFlagBits))
	case d.in(12):
		return "inner=" + d.descriptor(pick(d, append(d.others, cases.ClosedName)...))
	case len(d.btfs) > 0 && d.in(6):
		return fmt.Sprintf("btf=%s btf_key=%d btf_value=%d", d.descriptor(pick(d, d.btfs...)), d.IntN(4), d.IntN(5))
	}
	return pick(d, mapOverrides...)
}

func (d *drawer) progOverride() string {
	switch {
	case d.in(4):
		return fmt.Sprintf("flags=%#x", d.flags(progFlagBits))
	case len(d.others) > 0 && d.in(6):
		return "attach_fd=" + d.descriptor(pick(d, d.others...))
	case len(d.others) > 0 && d.in(6):
		return pick(d, "", "", "signed=1 ") + "fd_array=" + d.descriptor(pick(d, append(d.others, cases.ClosedName)...))
	}
	return pick(d, progOverrides...)
}

func (d *drawer) btfOverride() string { return pick(d, btfOverrides...) }

// The bits of flags that are drawn, those that no kernel knows among them.
const (
	mapFlagBits  = 20
	progFlagBits = 9
)

// flags draws one bit, or a few.
func (d *drawer) flags(bits int) uint32 {
	n := uint32(1) << d.IntN(bits)
	for d.in(3) {
		n |= 1 << d.IntN(bits)
	}
	return n
}

// overridden adds some arguments to a call, none twice.
func (d *drawer) overridden(call string, override func() string) string {
	for d.in(4) {
		if o := override(); !repeats(call, o) && !(strings.Contains(call, " inside=") && strings.Contains(o, "no_fd=")) {
			call += " " + o
		}
	}
	return call
}

// repeats reports whether a call already has one of the arguments in more.
func repeats(call, more string) bool {
	return slices.ContainsFunc(strings.Fields(more), func(w string) bool {
		key, _, _ := strings.Cut(w, "=")
		return strings.Contains(call, " "+key+"=")
	})
}

func (d *drawer) mapCall() (who, call string) {
	c := "map_create type=" + d.mapType() + d.common() + d.fault("tail")
	if d.in(12) && !strings.Contains(c, " inside=") && !strings.Contains(c, " attr=") {
		c += " kernel=1"
	}
	return "", d.overridden(c, d.mapOverride)
}

func (d *drawer) progCall() (who, call string) {
	if d.in(4) {
		return "", "prog_load " + d.prog() + d.body() + d.common()
	}
	if d.in(8) && len(d.others) > 0 {
		return "", "prog_load " + d.prog() + d.common() + " map=" + d.descriptor(pick(d, d.others...))
	}
	return "", d.overridden("prog_load "+d.prog()+d.common()+d.fault("insns"), d.progOverride)
}

// body draws a program that needs a privilege.
func (d *drawer) body() string {
	if d.in(3) {
		return " helper=" + uapi.Helpers[d.IntN(len(uapi.Helpers))].Name
	}
	b := step.Body(1 + d.IntN(len(step.Bodies)-1))
	s := " prog=" + step.Bodies[b]
	if b.UsesMap() {
		s += " map=" + d.descriptor(pick(d, append(d.others, cases.ClosedName)...))
	}
	return s
}

func (d *drawer) btfCall() (who, call string) {
	return "", d.overridden("btf_load"+d.common()+d.fault("tail"), d.btfOverride)
}

func (d *drawer) tokenCall() (who, call string) {
	c := "token_create bpffs=" + d.descriptor(pick(d, d.bpffs...).name) + d.within() + d.fault("tail")
	if d.in(5) {
		c += pick(d, " flags=1", " flags=0x10000", " flags=0")
	}
	return "", c
}
