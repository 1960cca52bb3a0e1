package cases

import (
	"fmt"
	"slices"
	"strings"

	"tokentest/cases/program"
)

// optionKeys are the mount options that a step may set, in the order in which
// it names them.
var optionKeys = []keySpec{
	{program.KeyCmds, "cmds", kindOption, "delegate_cmds, as fsconfig(2) gets it; may be repeated. \\040 is a space, \\012 a newline: escapes as mountinfo has them"},
	{program.KeyMaps, "maps", kindOption, "delegate_maps"},
	{program.KeyProgs, "progs", kindOption, "delegate_progs"},
	{program.KeyAttachs, "attachs", kindOption, "delegate_attachs"},
	{program.KeyUID, "uid", kindOption, "the root directory's owner"},
	{program.KeyGID, "gid", kindOption, "the root directory's group"},
	{program.KeyMode, "mode", kindOption, "the root directory's permission bits, octal"},
	{program.KeyUnknown, "unknown", kindOption, "an option that bpffs does not have"},
}

var (
	atKey     = keySpec{program.KeyAt, "at", kindPlace, "the place: /mnt/a to /mnt/d, each actor's own unless it joins another"}
	nameInKey = keySpec{program.KeyPath, "name", kindString, "the new name"}
	inKey     = keySpec{program.KeyIn, "in", kindHandle, "the directory"}
	insideKey = keySpec{program.KeyInside, "inside", kindHandle, "a user namespace to setns(2) into first, in a process of its own"}
	thenKey   = keySpec{program.KeyThen, "then", kindCaps, "with inside=: with just these effective capabilities once it has entered, and not with all"}
)

func handleKey(doc string) keySpec { return keySpec{program.KeyHandle, "handle", kindHandle, doc} }

func contextKey() keySpec {
	return keySpec{program.KeyContext, "context", kindHandle, "what fsopen or fspick made"}
}

// mountOps are the operations around a bpffs. Each is one system call of the
// actor, with exactly its capabilities.
var mountOps = []opSpec{
	{op: program.OpFsopen, makes: true, doc: `fsopen("bpf"): a context, whose bpffs will belong to the actor's user namespace`},
	{op: program.OpFsconfig, keys: append([]keySpec{contextKey(), {program.KeyFlag, "flag", kindString, "the name of an option, set without a value"}}, optionKeys...),
		positional: []program.Key{program.KeyContext}, doc: "FSCONFIG_SET_STRING for each option in turn; the first that is refused ends the step"},
	{op: program.OpFscreate, keys: []keySpec{contextKey()}, positional: []program.Key{program.KeyContext}, doc: "FSCONFIG_CMD_CREATE"},
	{op: program.OpFsreconfigure, keys: []keySpec{contextKey()}, positional: []program.Key{program.KeyContext}, doc: "FSCONFIG_CMD_RECONFIGURE"},
	{op: program.OpFspick, keys: []keySpec{atKey}, required: []program.Key{program.KeyAt}, makes: true, doc: "fspick(2): a context to reconfigure what is mounted there"},
	{op: program.OpFsmount, keys: []keySpec{contextKey()}, positional: []program.Key{program.KeyContext}, makes: true, doc: "fsmount(2): a mount that is nowhere yet"},
	{op: program.OpMoveMount, keys: []keySpec{{program.KeyMount, "mount", kindHandle, "what fsmount or clone_mount made"}, atKey},
		positional: []program.Key{program.KeyMount}, required: []program.Key{program.KeyAt}, doc: "move_mount(2) to a place"},
	{op: program.OpMount, keys: append([]keySpec{atKey}, optionKeys...), required: []program.Key{program.KeyAt}, doc: "mount(2) of a bpffs with the options as data"},
	{op: program.OpRemount, keys: append([]keySpec{atKey}, optionKeys...), required: []program.Key{program.KeyAt}, doc: "mount(2) with MS_REMOUNT and the options as data"},
	{op: program.OpBind, keys: []keySpec{{program.KeyShown, "from", kindPlace, "what to show elsewhere"}, atKey},
		required: []program.Key{program.KeyShown, program.KeyAt}, doc: "mount(2) with MS_BIND"},
	{op: program.OpCloneMount, keys: []keySpec{atKey}, required: []program.Key{program.KeyAt}, makes: true, doc: "open_tree(2) with OPEN_TREE_CLONE: a copy of the mount that is nowhere yet"},
	{op: program.OpShare, keys: []keySpec{atKey}, required: []program.Key{program.KeyAt},
		doc: "mount(2) with MS_SHARED: what is mounted on it is mounted on its copies, too, wherever they are"},
	{op: program.OpUmount, keys: []keySpec{atKey, {program.KeyLazy, "lazy", kindNum, "1: with MNT_DETACH"}}, required: []program.Key{program.KeyAt}, doc: "umount2(2)"},
	{op: program.OpOpen, keys: []keySpec{
		{program.KeyHandle, "of", kindHandle, "a mount or a directory"}, {program.KeyAt, "at", kindPlace, "or a place; /tmp is one that is no bpffs"},
		{program.KeyPath, "path", kindString, "a name below it"}, {program.KeyHow, "how", kindHow, "dir: O_RDONLY|O_DIRECTORY, as without it; path: O_PATH"},
	}, either: []program.Key{program.KeyHandle, program.KeyAt}, makes: true, doc: "openat(2)"},
	{op: program.OpMkdir, keys: []keySpec{inKey, nameInKey}, required: []program.Key{program.KeyIn, program.KeyPath}, doc: "mkdirat(2)"},
	{op: program.OpChmod, keys: []keySpec{handleKey("a directory"), {program.KeyMode, "mode", kindString, "the permission bits, octal"}},
		positional: []program.Key{program.KeyHandle}, required: []program.Key{program.KeyMode}, doc: "fchmod(2)"},
	{op: program.OpStat, keys: []keySpec{handleKey("a directory")}, positional: []program.Key{program.KeyHandle}, doc: "what fstat(2) shows of mode, owner and group is compared"},
	{op: program.OpMountinfo, keys: []keySpec{atKey}, required: []program.Key{program.KeyAt}, doc: "what /proc/self/mountinfo shows of the options is compared"},
	{op: program.OpFdinfo, keys: []keySpec{handleKey("a token")}, positional: []program.Key{program.KeyHandle}, doc: "the masks in the token's fdinfo are compared"},
	{op: program.OpTokenInfo, keys: []keySpec{handleKey("a token")}, positional: []program.Key{program.KeyHandle}, doc: "BPF_OBJ_GET_INFO_BY_FD of a token; the masks are compared"},
	{op: program.OpPin, keys: []keySpec{handleKey("what to pin"), inKey, nameInKey}, positional: []program.Key{program.KeyHandle},
		required: []program.Key{program.KeyIn, program.KeyPath}, doc: "BPF_OBJ_PIN"},
	{op: program.OpLink, keys: []keySpec{handleKey("what to link"), inKey, nameInKey}, positional: []program.Key{program.KeyHandle},
		required: []program.Key{program.KeyIn, program.KeyPath}, doc: "linkat(2) of the descriptor's file"},
}

var fromKey = keySpec{program.KeyFrom, "from", kindActor, "the actor whose descriptor it is"}

// lifeOps are the operations on the life of a descriptor and of an actor.
var lifeOps = []opSpec{
	{op: program.OpDup, keys: []keySpec{handleKey("what to copy")}, positional: []program.Key{program.KeyHandle}, makes: true, doc: "a copy of a descriptor, as dup(2) makes it"},
	{op: program.OpCloexec, keys: []keySpec{handleKey("a descriptor"), {program.KeyOn01, "on", kindNum, "0: it stays open over exec; 1: it does not, as every descriptor at first"}},
		positional: []program.Key{program.KeyHandle, program.KeyOn01}, doc: "F_SETFD"},
	{op: program.OpExec, doc: "execve(2): the actor's process starts its program again; descriptors with FD_CLOEXEC are gone"},
	{op: program.OpFork, keys: []keySpec{{program.KeyTo, "child", kindActor, "an actor declared as child ACTOR"}}, positional: []program.Key{program.KeyTo},
		doc: "fork(2) and execve(2): the child has the descriptors without FD_CLOEXEC"},
	{op: program.OpExit, doc: "the actor's process ends, and with it what nobody else holds"},
	{op: program.OpUserns, makes: true, doc: "open /proc/thread-self/ns/user"},
	{op: program.OpSetns, keys: []keySpec{{program.KeyInside, "userns", kindHandle, "what userns made"}}, positional: []program.Key{program.KeyInside}, doc: "setns(2) with CLONE_NEWUSER, in a process of its own"},
	{op: program.OpPidfdGetfd, keys: []keySpec{handleKey("what to take"), fromKey}, positional: []program.Key{program.KeyHandle},
		required: []program.Key{program.KeyFrom}, makes: true, doc: "pidfd_getfd(2): take another process's descriptor"},
	{op: program.OpProcOpen, keys: []keySpec{handleKey("what to open"), fromKey}, positional: []program.Key{program.KeyHandle},
		required: []program.Key{program.KeyFrom}, makes: true, doc: "open /proc/PID/fd/N with O_PATH"},
	{op: program.OpChurn, keys: []keySpec{{program.KeyBPFFS, "bpffs", kindHandle, "the bpffs"}, {program.KeyTimes, "times", kindNum, "how often"},
		{program.KeySlack, "slack", kindNum, "how many slab objects more there may be behind it; kilobytes of slab, where the kernel counts no objects (no CONFIG_SLUB_DEBUG)"}, noFDKey},
		required: []program.Key{program.KeyBPFFS, program.KeyTimes, program.KeySlack}, doc: "BPF_TOKEN_CREATE and close, again and again, or with no_fd=1 each refused with EMFILE; the kernel's slab objects are counted before and behind"},
	{op: program.OpNamespaces, keys: []keySpec{{program.KeyTimes, "times", kindNum, "how often"}, {program.KeySlack, "slack", kindNum, "how many user namespaces the kernel allows meanwhile beside those that are there"}},
		required: []program.Key{program.KeyTimes, program.KeySlack}, doc: "a user namespace with a bpffs, a token, and a map, a BTF and a program made through it is made and left, again and again, while /proc/sys/user/max_user_namespaces bounds how many there may be"},
	{op: program.OpRace, keys: []keySpec{{program.KeyRace, "what", kindRace, "create_umount, use_close or delegate_exit"}, {program.KeyTimes, "times", kindNum, "how often"},
		{program.KeyBPFFS, "bpffs", kindHandle, "the bpffs"}, {program.KeyToken, "token", kindHandle, "the token"}, {program.KeyAt, "at", kindPlace, "where the bpffs is mounted"}},
		positional: []program.Key{program.KeyRace}, required: []program.Key{program.KeyTimes}, doc: "two things at the same time; every errno that comes must be one of those that either order gives"},
}

// argWords are the kinds of arguments that are one of a few words.
var argWords = map[argKind][]string{
	kindFault: program.AttrFaults, kindBody: program.Bodies, kindOn: program.Ons,
	kindPlace: program.Places, kindHow: program.Hows, kindRace: program.Races, kindMake: program.Makes,
	kindDo: program.Dos, kindBuffer: program.Buffers,
}

// complete refuses a step that leaves out what its operation wants.
func (o *opSpec) complete(s *program.Step) error {
	given := func(k program.Key) bool {
		return slices.ContainsFunc(s.Args, func(a program.Arg) bool { return a.Key == k })
	}
	for _, k := range o.required {
		if !given(k) {
			return fmt.Errorf("%s wants %s=", o.op, o.keyOf(k).name)
		}
	}
	if len(o.either) == 0 {
		return nil
	}
	var names []string
	n := 0
	for _, k := range o.either {
		names = append(names, o.keyOf(k).name+"=")
		if given(k) {
			n++
		}
	}
	if n != 1 {
		return fmt.Errorf("%s wants one of %s", o.op, strings.Join(names, " "))
	}
	return nil
}
