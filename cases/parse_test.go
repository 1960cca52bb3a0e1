package cases

import (
	"context"
	"slices"
	"strings"
	"testing"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// expand reads a file of the test's own.
func expand(text string) (*Group, error) {
	f, err := Parse(context.Background(), "dir/demo.txt", "demo", text)
	if err != nil {
		return nil, err
	}
	return f.Expand(context.Background())
}

func mustExpand(t *testing.T, text string) *Group {
	t.Helper()
	g, err := expand(text)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

const (
	scenarioControls = "control root map_create type=hash\ncontrol nobody map_create type=hash => EPERM\n"
	matrixHead       = "axis who root nobody\naxis caps none all\n"
	matrixTail       = "control allow who=root caps=all\ncontrol refuse who=nobody caps=none\n"
	matrixDo         = "do $who map_create type=hash caps=$caps\n"
)

// Every mistake that a case file can hold is told with its file, line and cause.
func TestErrors(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"empty", "", "dir/demo.txt:1: no step and no do line"},
		{"comment alone", "# nothing\n", "dir/demo.txt:1: no step and no do line"},
		{"a bare do", "about x\naxis a 1\ndo\n", `dir/demo.txt:3: no step in this line: want ACTOR OP`},
		{"a bare control", "about x\ncontrol\n", `dir/demo.txt:2: no step in this line: want ACTOR OP`},
		{"one word", "about x\nbogus\n", `dir/demo.txt:2: unknown line "bogus": want ACTOR OP`},
		{"unknown operation", "root map_crate type=hash\n",
			`dir/demo.txt:1: unknown operation "map_crate" (near: map_create): want one of bpffs`},
		{"unknown operation in do", matrixHead + "do $who nonsense\n", `dir/demo.txt:3: unknown operation "nonsense": want`},
		{"no controls", "root map_create type=hash\n", "dir/demo.txt:1: no controls"},
		{"no refusing control", "control root map_create type=hash\n", "dir/demo.txt:1: no controls"},
		{"no allowing control", "control nobody map_create type=hash => EPERM\n", "dir/demo.txt:1: no controls"},
		{"matrix without controls", matrixHead + matrixDo, "dir/demo.txt:1: no controls"},
		{"axes without do", matrixHead + scenarioControls, "dir/demo.txt:1: axes without a do line"},
		{"axis without name", "axis\n", "dir/demo.txt:1: want axis NAME VALUE"},
		{"axis twice", "axis a x\naxis a y\n", "dir/demo.txt:2: axis a is already defined"},
		{"axis without values", "axis a\naxis b x\ndo root map_create type=hash\ncontrol allow b=x\ncontrol refuse b=x\n",
			"dir/demo.txt:1: axis a has no values"},
		{"value twice", "axis a x y x\n", `dir/demo.txt:1: axis a has the value x twice`},
		{"indented value twice", "axis a\n  x 1\n  x 2\n", `dir/demo.txt:3: axis a has the value x twice`},
		{"unknown list", "axis a each thing\n", `dir/demo.txt:1: unknown list "thing"`},
		{"nothing left out", "axis a each map_type -hsh\n", `dir/demo.txt:1: "-hsh" excludes no map_type`},
		{"unknown need", "needs luck\n", `dir/demo.txt:1: unknown need "luck"`},
		{"need without release", "needs release six\n", `dir/demo.txt:1: read release "six"`},
		{"actor without kind", "actor a\n", "dir/demo.txt:1: want actor NAME"},
		{"actor called as a keyword", "actor axis userns\n", "dir/demo.txt:1: an actor cannot be called axis"},
		{"actor called as an operation", "actor send userns\n", "dir/demo.txt:1: an actor cannot be called send"},
		{"actor called as a predefined one", "actor root userns\n", "dir/demo.txt:1: an actor cannot be called root"},
		{"actor twice", "actor a userns\nactor a userns\n", "dir/demo.txt:2: actor a is already defined"},
		{"kind of actor", "actor a daemon\n" + scenarioControls, `dir/demo.txt:1: unknown kind of actor "daemon"`},
		{"joins nobody", "actor a joins\n" + scenarioControls, "dir/demo.txt:1: want joins ACTOR"},
		{"joins an unknown one", "actor a joins b\n" + scenarioControls,
			`dir/demo.txt:1: unknown actor "b": it must be declared above`},
		{"joins one of the initial namespace", "actor a init\nactor b joins a\n" + scenarioControls,
			"dir/demo.txt:2: actor a is not in a user namespace"},
		{"actor's option", "actor a userns gid=1\n" + scenarioControls, `dir/demo.txt:1: unknown option "gid=1"`},
		{"actor's uid", "actor a userns uid=x\n" + scenarioControls, `dir/demo.txt:1: read number "x"`},
		{"actor's caps", "actor a userns caps=CAP_X\n" + scenarioControls, `dir/demo.txt:1: unknown capability "CAP_X"`},
		{"uid of a joined actor", "actor a userns\nactor b joins a uid=7\n" + scenarioControls,
			"dir/demo.txt:2: uid 7 is not mapped in the actor's user namespace, which maps 1 from 0 on: " +
				"a userns actor with uid=1000+65536 maps more"},
		{"uid beyond the range", "actor a userns uid=5+7\nactor b joins a uid=7\n" + scenarioControls,
			"dir/demo.txt:2: uid 7 is not mapped in the actor's user namespace, which maps 7 from 0 on"},
		{"uid of a nested namespace", "actor a userns\nactor b userns in a uid=7\n" + scenarioControls,
			"dir/demo.txt:2: a namespace below another's maps the uid of that"},
		{"range of an initial actor", "actor a init uid=7+2\n" + scenarioControls,
			"dir/demo.txt:1: uid=7+2: only a userns actor maps a range of ids"},
		{"range of no ids", "actor a userns uid=7+0\n" + scenarioControls, "dir/demo.txt:1: uid=7+0: want FIRST+COUNT"},
		{"range beyond", "actor a userns uid=7+4294967290\n" + scenarioControls,
			"dir/demo.txt:1: uid=7+4294967290: want FIRST"},
		{"range beside lines", "actor a userns map=0:1 uid=7+2\n" + scenarioControls,
			"dir/demo.txt:1: uid=7+2: an id is in two lines"},
		{"line of a map", "actor a userns map=0:1000+0\n" + scenarioControls,
			"dir/demo.txt:1: map=0:1000+0: want map=INNER:OUTER+COUNT"},
		{"line without outer", "actor a userns map=5\n" + scenarioControls,
			"dir/demo.txt:1: map=5: want map=INNER:OUTER+COUNT"},
		{"line beyond", "actor a userns map=0:4294967290+9\n" + scenarioControls,
			"dir/demo.txt:1: map=0:4294967290+9: want map=INNER:OUTER+COUNT"},
		{"lines that overlap", "actor a userns map=0:10+5 map=9:14\n" + scenarioControls,
			"dir/demo.txt:1: map=9:14: an id is in two lines"},
		{"map without uid 0", "actor a userns map=1:10+5\n" + scenarioControls,
			"dir/demo.txt:1: no line map= has uid 0"},
		{"map of a joined actor", "actor a userns\nactor b joins a map=0:1\n" + scenarioControls,
			"dir/demo.txt:2: map=0:1: only a userns actor has an id map"},
		{"map that the one above does not have", "actor a userns map=0:10+5 map=5:20+5\nactor b userns in a map=0:3+3\n" +
			scenarioControls, "dir/demo.txt:2: map=0:3+3: no line of the namespace above has all of these ids"},
		{"too many lines", "actor a userns map=0:1 map=1:2 map=2:3 map=3:4 map=4:5 map=5:6 map=6:7 map=7:8 map=8:9\n" +
			scenarioControls, "dir/demo.txt:1: map=8:9: an id map has at most 8 lines here"},
		{"uid between two lines", "actor a userns map=0:10+5 map=9:20\nactor b joins a uid=6\n" + scenarioControls,
			"dir/demo.txt:2: uid 6 is not mapped in the actor's user namespace, which maps 5 from 0 on, 1 from 9 on"},
		{"a log of a command that has none", "root map_create type=hash common=same\n" + scenarioControls,
			"dir/demo.txt:1: common=same: map_create has no log of its own"},
		{"two logs of a command", "root btf_load log=1 common=other\n" + scenarioControls,
			"dir/demo.txt:1: common=other says what the command's own log is: leave log= out"},
		{"common attributes of a call of 32 bits", "root map_create type=hash common=log compat=1\n" + scenarioControls,
			"dir/demo.txt:1: common=log and compat=: such a call has no common attributes"},
		{"securebits that would take capabilities", "actor a userns securebits=0x30\n" + scenarioControls,
			"dir/demo.txt:1: securebits=0x30: want bits below 0x100"},
		{"securebits of a child", "actor a userns\nactor b child a securebits=1\n" + scenarioControls,
			"dir/demo.txt:2: securebits=1: a child has those of its parent"},
		{"exec without capabilities", "actor a userns securebits=1\na exec\n" + scenarioControls,
			"dir/demo.txt:2: actor a has SECBIT_NOROOT"},
		{"uid that is none", "actor a userns uid=4294967295\n" + scenarioControls, "dir/demo.txt:1: 4294967295 is no uid"},
		{"uid of a step", "actor a userns uid=5\na map_create type=hash uid=5\n" + scenarioControls,
			"dir/demo.txt:2: uid 5 is not mapped in the actor's user namespace, which maps 1 from 0 on"},
		{"uid of a step that is none", "root map_create type=hash uid=4294967295\n" + scenarioControls,
			"dir/demo.txt:1: 4294967295 is no uid"},
		{"namespace of a joined actor", "actor a userns\nactor b joins a net\n" + scenarioControls,
			`dir/demo.txt:2: unknown option "net" of an actor`},
		{"unknown namespace", "actor a userns time\n" + scenarioControls,
			`dir/demo.txt:1: unknown option "time" of an actor: want uid=, map=, caps=, mounts=, abi=, ` +
				"securebits=, net, pid or cgroup"},
		{"mount namespace", "actor a userns mounts=none\n" + scenarioControls,
			"dir/demo.txt:1: mounts=none: want own, before, parent, of a userns actor"},
		{"ABI", "actor a userns abi=x32\n" + scenarioControls, "abi=x32: want abi=compat"},
		{"ABI of a child", "actor a userns\nactor b child a abi=compat\n" + scenarioControls,
			"abi=compat: want abi=compat, of"},
		{"a 32-bit call twice", "actor a userns abi=compat\na map_create type=hash compat=1\n" + scenarioControls,
			"actor a is a program of 32 bits"},
		{"bpffs without mounts", "actor a userns mounts=before\na bpffs -> b\n" + scenarioControls,
			"dir/demo.txt:2: actor a may not mount (mounts=before)"},
		{"other processes in a pid namespace", "actor a userns pid\nroot bpffs -> b\na pidfd_getfd b from=root\n" +
			scenarioControls, "dir/demo.txt:3: actor a is in a pid namespace, where other processes have no number"},
		{"namespace in a pid namespace", "actor a userns pid\nactor b joins a\nactor c userns in b\n" + scenarioControls,
			"dir/demo.txt:3: actor b is in a pid namespace, where it cannot map a further namespace's ids"},
		{"end of a pid namespace", "actor a userns pid\na exit\n" + scenarioControls,
			"dir/demo.txt:2: actor a is the first process of a pid namespace"},
		{"run without a program", "root run code=1\n" + scenarioControls, "dir/demo.txt:1: run needs "},
		{"exit status", "root run code=256 true\n" + scenarioControls,
			"dir/demo.txt:1: code=256: want an exit status from 0 to 255, or ?"},
		{"no_new_privs", "root run no_new_privs=0 true\n" + scenarioControls,
			"dir/demo.txt:1: no_new_privs=0: must be 1 or omitted"},
		{"domain without a policy", "root map_create type=hash selinux=other\n" + scenarioControls,
			"dir/demo.txt:1: selinux=: there is no domain before a step"},
		{"way of a program", "root run way=sudo true\n" + scenarioControls, `dir/demo.txt:1: unknown word "sudo"`},
		{"place", "root umount at=mnt\n" + scenarioControls, `dir/demo.txt:1: "mnt" is no place: want one of /mnt/a`},
		{"place inside another", "root umount at=/mnt/a/x\n" + scenarioControls,
			`dir/demo.txt:1: "/mnt/a/x" is no place: it is inside a place`},
		{"a call of 32 bits by the kernel", "root map_create type=hash compat=1 kernel=1\n" + scenarioControls,
			"dir/demo.txt:1: a call of 32 bits takes no kernel= and no inside="},
		{"second do", matrixHead + matrixDo + matrixDo, "dir/demo.txt:4: a second do (the first is in line 3)"},
		{"do with an expectation", matrixHead + "do root map_create type=hash => EPERM\n",
			"dir/demo.txt:3: a do line has no expectation"},
		{"step after do", matrixHead + matrixDo + "root map_create type=hash\n",
			`dir/demo.txt:4: step "root map_create type=hash" after do`},
		{"errno of a step", "root map_create type=hash => EPRM\n", `dir/demo.txt:1: unknown errno "EPRM"`},
		{"except without terms", matrixHead + "except\n", "dir/demo.txt:3: want except AXIS=VALUE"},
		{"except with more", matrixHead + "except who=root ok\n", "dir/demo.txt:3: want except AXIS=VALUE"},
		{"except of an unknown axis", matrixHead + "except what=root\n", `dir/demo.txt:3: unknown axis "what"`},
		{"except of an unknown value", matrixHead + "except who=rot\n",
			`dir/demo.txt:3: axis who has no value "rot" (near: root)`},
		{"except leaves nothing", matrixHead + matrixDo + matrixTail + "except who=root,nobody\n",
			"dir/demo.txt:1: the except lines leave no case"},
		{"except takes a control", matrixHead + matrixDo + matrixTail + "except who=root caps=all\n",
			"dir/demo.txt:4: the control demo/root/all is no case"},
		{"control with more", matrixHead + matrixDo + "control allow who=root now\n", `dir/demo.txt:4: unknown words "now"`},
		{"control of an unknown value", matrixHead + "control allow who=rot\n",
			`dir/demo.txt:3: axis who has no value "rot"`},
		{"pin without errno", matrixHead + "pin who=root # source\n", "dir/demo.txt:3: want pin AXIS=VALUE... ERRNO"},
		{"pin with an unknown errno", matrixHead + "pin who=root MAYBE # source\n", `dir/demo.txt:3: unknown errno "MAYBE"`},
		{"pin without source", matrixHead + "pin who=root ok\n", "dir/demo.txt:3: a pin needs a source"},
		{"pin before its axis", "pin who=root ok # source\n", `dir/demo.txt:1: unknown axis "who"`},
		{"unknown actor", "him map_create type=hash\n" + scenarioControls, `dir/demo.txt:1: unknown actor "him"`},
		{"unknown argument", "root map_create type=hash size=4\n" + scenarioControls,
			`dir/demo.txt:1: unknown argument "size=4" of map_create: want type= token= token_fd= attr= common= flags=`},
		{"word too many", "root close x y\n" + scenarioControls, `dir/demo.txt:1: unknown handle "x"`},
		{"argument too few", "root send\n" + scenarioControls, "dir/demo.txt:1: send needs HANDLE TO caps="},
		{"caps of a step", "root map_create type=hash caps=X\n" + scenarioControls, `dir/demo.txt:1: unknown capability "X"`},
		{"unknown map type", "root map_create type=hsh\n" + scenarioControls,
			`dir/demo.txt:1: unknown bpf_map_type "hsh" (near: hash, rhash)`},
		{"unknown program type", "root prog_load type=xpd\n" + scenarioControls,
			`dir/demo.txt:1: unknown bpf_prog_type "xpd" (near: xdp`},
		{"number", "root token_create flags=one bpffs=closed\n" + scenarioControls, `dir/demo.txt:1: read number "one"`},
		{"unknown handle", "root map_create type=hash token=t\n" + scenarioControls,
			`dir/demo.txt:1: unknown handle "t": no step above makes it with -> t`},
		{"handle used before it is made", "root map_create type=hash token=t\nroot token_create bpffs=closed -> t\n" +
			scenarioControls, `dir/demo.txt:1: unknown handle "t"`},
		{"send to an unknown actor", "root bpffs -> b\nroot send b him\n" + scenarioControls,
			`dir/demo.txt:2: unknown actor "him"`},
		{"result of what makes none", "root sysctl unprivileged_bpf_disabled=0 -> x\n" + scenarioControls,
			"dir/demo.txt:1: sysctl does not produce a descriptor; remove \"-> x\""},
		{"result called closed", "root bpffs -> closed\n" + scenarioControls,
			"dir/demo.txt:1: closed is the descriptor that is never open"},
		{"unknown axis in do", matrixHead + "do $what map_create type=hash\n" + matrixTail,
			"dir/demo.txt:3: unknown axis $what"},
		{"axis of itself", "axis a\n  x $a\n" + matrixHead + "do $who map_create type=$a\n" + matrixTail,
			"never ends to hold a $"},
		{"an axis value that moves the operation", "axis w\n  x root map_create\n" + matrixHead + "do $w btf_load\n" +
			matrixTail, `dir/demo.txt:5: unknown argument "btf_load"`},
		{"an axis value that hides the operation", "axis w\n  x root now\n" + matrixHead + "do $w btf_load\n" + matrixTail,
			`dir/demo.txt:5: unknown operation "now"`},
		{"member without an offset", "root raw cmd=1 u32=4\n" + scenarioControls,
			`dir/demo.txt:1: read "u32=": want the member's offset in the attribute, u32@OFFSET=VALUE`},
		{"member's offset", "root raw cmd=1 u32@x=4\n" + scenarioControls, `read "u32@x=": want the member's offset`},
		{"offset of what is no member", "root map_create type@4=hash\n" + scenarioControls,
			`dir/demo.txt:1: unknown argument "type@4=hash" of map_create`},
		{"member beyond a page", "root raw cmd=1 u64@4090=1\n" + scenarioControls,
			"dir/demo.txt:1: u64@4090 ends beyond the attribute's 4096 bytes"},
		{"member beyond the size", "root raw cmd=1 size=8 fd@8=closed\n" + scenarioControls,
			"dir/demo.txt:1: fd@8 ends beyond the attribute's 8 bytes"},
		{"attribute longer than a page", "root raw cmd=1 size=4097\n" + scenarioControls,
			"dir/demo.txt:1: size=4097: the kernel takes at most 4096 bytes"},
		{"member too small", "root raw cmd=1 u32@8=0x100000000\n" + scenarioControls,
			"dir/demo.txt:1: u32@8=0x100000000: the member has 4 bytes; u64@8 has 8"},
		{"members that overlap", "root raw cmd=1 u64@8=1 u32@12=1\n" + scenarioControls,
			"dir/demo.txt:1: u32@12 overlaps u64@8"},
		{"memory without a name", "root raw cmd=1 ptr@8=gpl\n" + scenarioControls,
			`dir/demo.txt:1: read "gpl": want "text", 0x and hexadecimal digits, zero:LENGTH, or one of exit license btf`},
		{"memory of half a byte", "root raw cmd=1 ptr@8=0x123\n" + scenarioControls,
			"dir/demo.txt:1: read 0x123: want two hexadecimal digits for each byte"},
		{"memory of no length", "root raw cmd=1 ptr@8=zero:0\n" + scenarioControls,
			"dir/demo.txt:1: read zero:0: want a length from 1 to 4096"},
		{"text without its end", "root raw cmd=1 ptr@8=\"a\n" + scenarioControls,
			"dir/demo.txt:1: read \"a: the text must end with a quote"},
		{"token of a command without a place", "root token_create bpffs=closed -> t\nroot call cmd=link_create token=t\n" +
			scenarioControls, "dir/demo.txt:2: link_create has no place for a token: say with token_at=OFFSET"},
		{"token's place without a token", "root call cmd=link_create token_at=8\n" + scenarioControls,
			"dir/demo.txt:1: token_at= and flag_at= say where token= goes"},
		{"token's place twice", "root call cmd=btf_get_fd_by_id token=closed token_at=8\n" + scenarioControls,
			"dir/demo.txt:1: btf_get_fd_by_id has a place for a token: leave token_at="},
		{"token's place beyond", "root call cmd=60 token=closed token_at=5000\n" + scenarioControls,
			"dir/demo.txt:1: the attribute is "},
		{"an axis value that is empty", "axis w\n  x\n" + matrixHead + "do $w btf_load\n" + matrixTail,
			"dir/demo.txt:5: unknown "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g, err := expand(tt.text)
			if err == nil {
				t.Fatalf("no error, and %d cases", len(g.Cases))
			}
			if !strings.HasPrefix(err.Error(), "dir/demo.txt:") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %q, want %q", err, tt.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(matrixHead + matrixDo + matrixTail + "pin who=root ok # source\nexcept who=root caps=none\n")
	f.Add("actor o userns\nactor p joins o\no bpffs cmds=any -> b\no token_create bpffs=b -> t\no send t p\n" +
		scenarioControls)
	f.Add("needs config X\naxis a each prog_load\naxis b\n  x cmds=$a.type\ndo root bpffs $b\n")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Count(text, "axis") > 3 || strings.Count(text, "each") > 1 || len(text) > 500 {
			t.Skip("too many cases")
		}
		g, err := expand(text)
		if err != nil && !strings.HasPrefix(err.Error(), "dir/demo.txt:") {
			t.Errorf("%q names no line", err)
		}
		if err == nil && len(g.Cases) == 0 {
			t.Error("no case and no error")
		}
	})
}

func ids(cs []*Case) []string {
	var out []string
	for _, c := range cs {
		out = append(out, c.ID)
	}
	return out
}

func TestMatrix(t *testing.T) {
	g := mustExpand(t, `about Some   words # and a comment
needs token
needs config CONFIG_NET
full
axis mask
  none   # a value with nothing in it
  two    cmds=map_create maps=$type
  other  cmds=any maps=$type.others
axis type each map_type -unspec
axis caps none CAP_BPF
actor owner userns uid=7
owner bpffs $mask -> b
do owner map_create type=$type token=b caps=$caps
except mask=none caps!=none
except type!=hash,queue
control allow mask=two caps=CAP_BPF
control refuse mask=none caps=none
pin mask=two EPERM # first
pin mask=two type=queue ok # the last one counts
`)
	want := []string{
		"demo/none/hash/none", "demo/none/queue/none",
		"demo/two/hash/none", "demo/two/hash/CAP_BPF", "demo/two/queue/none", "demo/two/queue/CAP_BPF",
		"demo/other/hash/none", "demo/other/hash/CAP_BPF", "demo/other/queue/none", "demo/other/queue/CAP_BPF",
	}
	if got := ids(g.Cases); !slices.Equal(got, want) {
		t.Errorf("cases %q,\nwant %q", got, want)
	}
	if g.About != "Some words" || !g.Full || g.Name != "demo" || g.Path != "dir/demo.txt" {
		t.Errorf("group %q %v %q %q", g.About, g.Full, g.Name, g.Path)
	}
	setups := []string{
		"owner bpffs -> b",
		"owner bpffs cmds=map_create maps=hash -> b", "owner bpffs cmds=map_create maps=queue -> b",
		"owner bpffs cmds=any maps=0xfffffffffffffffd -> b", "owner bpffs cmds=any maps=0xffffffffffbfffff -> b",
	}
	var got []string
	for i, w := range g.Worlds {
		got = append(got, w.Info[0].Text)
		if w.Index != i || w.Group != g {
			t.Errorf("world %d has index %d", i, w.Index)
		}
		for _, c := range w.Cases {
			if c.World != w {
				t.Errorf("%s is in another world too", c.ID)
			}
		}
	}
	if !slices.Equal(got, setups) {
		t.Errorf("worlds %q,\nwant %q", got, setups)
	}
	checkMatrixCases(t, g)
}

func checkMatrixCases(t *testing.T, g *Group) {
	t.Helper()
	c := g.Cases[4] // demo/two/queue/none
	if p := c.Info()[0].Pin; p == nil || p.Errno != 0 || p.Note != "the last one counts" ||
		p.Where != "dir/demo.txt:19" {
		t.Errorf("%s: pin %+v", c.ID, p)
	}
	if p := g.Cases[2].Info()[0].Pin; p == nil || p.Errno != 1 || p.Note != "first" {
		t.Errorf("%s: pin %+v", g.Cases[2].ID, p)
	}
	if p := g.Cases[0].Info()[0].Pin; p != nil {
		t.Errorf("%s has the pin %+v", g.Cases[0].ID, p)
	}
	want := []string{"demo/two/queue/CAP_BPF", "demo/none/queue/none"}
	if got := ids(c.Guards()); !slices.Equal(got, want) {
		t.Errorf("%s is guarded by %q, want %q", c.ID, got, want)
	}
	for id, want := range map[int]string{0: "refuse", 1: "refuse", 3: "allow", 5: "allow", 2: "", 7: ""} {
		if g.Cases[id].Control != want {
			t.Errorf("%s is control %q, want %q", g.Cases[id].ID, g.Cases[id].Control, want)
		}
	}
	s := c.Cell()[0]
	typ, _ := s.Num(step.KeyType)
	tok, _ := s.Num(step.KeyToken)
	if s.Op != step.OpMapCreate || typ != uint64(uapi.BPF_MAP_TYPE_QUEUE) || tok != 1 || s.Caps != 0 {
		t.Errorf("%s does %+v", c.ID, s)
	}
	var needs []NeedKind
	for _, n := range c.Needs() {
		needs = append(needs, n.Kind)
	}
	if want := []NeedKind{NeedToken, NeedConfig, NeedEnum}; !slices.Equal(needs, want) {
		t.Errorf("%s needs %q, want %q", c.ID, needs, want)
	}
	if a := g.Worlds[0].Program.Actors; len(a) != 1 || a[0].Name != "owner" || a[0].UID != 7 ||
		a[0].Kind != step.Userns || a[0].Caps != uapi.AllCaps {
		t.Errorf("actors %+v", a)
	}
}

func TestScenario(t *testing.T) {
	g := mustExpand(t, `actor owner userns uid=5 caps=all-CAP_BPF
actor inner userns in owner
actor peer joins owner caps=none
actor out init uid=9
control root map_create type=hash
control nobody map_create type=hash => EPERM
owner bpffs cmds=map_create cmds=0x20 -> b # two
owner token_create bpffs=b flags=0x1 -> t => EINVAL # why
owner send t peer
peer map_create type=1 token=t caps=CAP_BPF+CAP_SYS_ADMIN
owner close t
root sysctl unprivileged_bpf_disabled=0
`)
	if got := ids(g.Cases); !slices.Equal(got, []string{"demo"}) {
		t.Fatalf("cases %q", got)
	}
	c := g.Cases[0]
	if len(c.Cell()) != 8 || len(c.World.Program.Setup) != 0 {
		t.Fatalf("%d steps behind a set-up of %d", len(c.Cell()), len(c.World.Program.Setup))
	}
	wantActors := []step.Actor{
		{Name: "owner", Kind: step.Userns, Parent: -1, UID: 5, Caps: uapi.AllCaps &^ (1 << uapi.CAP_BPF)},
		{Name: "inner", Kind: step.Userns, Parent: 0, UID: 5, Caps: uapi.AllCaps},
		{Name: "peer", Kind: step.Joins, Parent: 0, UID: 5},
		{Name: "out", Kind: step.Init, Parent: -1, UID: 9},
		{Name: "root", Kind: step.Init, Parent: -1, Caps: uapi.AllCaps},
		{Name: "nobody", Kind: step.Init, Parent: -1, UID: 65534},
	}
	if got := c.World.Program.Actors; !slices.Equal(got, wantActors) {
		t.Errorf("actors %+v,\nwant %+v", got, wantActors)
	}
	fails := c.Info()[3]
	if fails.Pin.Errno != 22 || fails.Pin.Where != "dir/demo.txt:8" || fails.Pin.Note != "why" || fails.Control ||
		fails.Text != "owner token_create bpffs=b flags=0x1 -> t" {
		t.Errorf("step 3: %+v, pin %+v", fails, fails.Pin)
	}
	if !c.Info()[0].Control || !c.Info()[1].Control || c.Info()[2].Control {
		t.Error("the controls are others than the first two steps")
	}
	if s := c.Cell()[2]; s.Out != 1 || len(s.Args) != 2 || s.Args[0].Str != "map_create" || s.Args[1].Str != "0x20" ||
		s.Caps != uapi.AllCaps&^(1<<uapi.CAP_BPF) {
		t.Errorf("bpffs step %+v", s)
	}
	if s := c.Cell()[5]; s.Actor != 2 || s.Caps != 1<<uapi.CAP_BPF|1<<uapi.CAP_SYS_ADMIN {
		t.Errorf("peer's step %+v", s)
	}
	if s := c.Cell()[4]; s.Args[0].Num != 2 || s.Args[1].Num != 2 {
		t.Errorf("send step %+v", s)
	}
}

// A $axis inside an axis value stands for the other axis's value; several
// words and no word at all are as good as one.
func TestDefinitions(t *testing.T) {
	g := mustExpand(t, `axis b
  empty
  words   bpffs=$h flags=0
axis h
  shut  closed
axis who root nobody
do $who token_create $b
control allow who=root
control refuse who=nobody
`)
	var texts []string
	for _, c := range g.Cases {
		texts = append(texts, c.Info()[0].Text)
	}
	want := []string{
		"root token_create", "nobody token_create",
		"root token_create bpffs=closed flags=0", "nobody token_create bpffs=closed flags=0",
	}
	if !slices.Equal(texts, want) {
		t.Errorf("steps %q,\nwant %q", texts, want)
	}
	if n, ok := g.Cases[2].Cell()[0].Num(step.KeyBPFFS); !ok || step.Handle(n) != step.ClosedFD {
		t.Errorf("bpffs=closed is handle %d", n)
	}
}

func TestCutComment(t *testing.T) {
	for _, tt := range []struct{ line, text, comment string }{
		{"# all", "", "all"}, {"a b # c # d", "a b ", "c # d"}, {"a#b", "a#b", ""}, {"a\t#", "a\t", ""}, {"", "", ""},
	} {
		if text, comment := cutComment(tt.line); text != tt.text || comment != tt.comment {
			t.Errorf("cutComment(%q) = %q, %q, want %q, %q", tt.line, text, comment, tt.text, tt.comment)
		}
	}
}

// The values of mount options may hold white space, as mountinfo escapes it.
func TestUnescape(t *testing.T) {
	for value, want := range map[string]string{`a\040b`: "a b", `0x1\012`: "0x1\n", `\134`: `\`, "plain": "plain",
		"": ""} {
		if got, err := unescape(value); got != want || err != nil {
			t.Errorf("%s: got %q, %v, want %q", value, got, err, want)
		}
	}
	for _, value := range []string{`\`, `\01`, `\400`, `\09x`, `\000`, `\n`} {
		if got, err := unescape(value); err == nil {
			t.Errorf("%s: got %q and no error", value, got)
		}
	}
}

// A call is not bounded, or made by the kernel, by halves.
func TestLimitArguments(t *testing.T) {
	for line, want := range map[string]string{
		"root map_create type=hash no_fd=0":               "no_fd=0: must be 1 or omitted",
		"root map_create type=hash kernel=2":              "kernel=2: must be 1 or omitted",
		"root map_create type=hash kernel=1 attr=tail":    "takes no attr=",
		"root memory root":                                "memory needs max=",
		"root bpffs cmds=map_create\\0":                   "want three octal digits",
		"root token_create bpffs=closed kernel=1":         `unknown argument "kernel=1"`,
		"root prog_load type=xdp memlock=4 no_fd=1":       `unknown argument "memlock=4"`,
		"root churn bpffs=closed times=1 slack=1 no_fd=2": "no_fd=2: must be 1 or omitted",
	} {
		f, err := Parse(t.Context(), "x.txt", "x", scenarioControls+line+"\n")
		if err == nil {
			_, err = f.Expand(t.Context())
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", line, err, want)
		}
	}
}
