package cases

import (
	"fmt"
	"slices"
	"strings"

	"tokentest/cases/step"
)

// optionKeys are the mount options that a step may set, in the order in which
// it names them.
var optionKeys = []keySpec{
	{step.KeyCmds, "cmds", kindOption, "delegate_cmds, as fsconfig(2) gets it; may be repeated. \\040 is a space, \\012 a newline: escapes as mountinfo has them"},
	{step.KeyMaps, "maps", kindOption, "delegate_maps"},
	{step.KeyProgs, "progs", kindOption, "delegate_progs"},
	{step.KeyAttachs, "attachs", kindOption, "delegate_attachs"},
	{step.KeyUID, "uid", kindOption, "the root directory's owner"},
	{step.KeyGID, "gid", kindOption, "the root directory's group"},
	{step.KeyMode, "mode", kindOption, "the root directory's permission bits, octal"},
	{step.KeyUnknown, "unknown", kindOption, "an option that bpffs does not have"},
}

var (
	atKey     = keySpec{step.KeyAt, "at", kindPlace, "the place: /mnt/a to /mnt/d, each actor's own unless it joins another"}
	nameInKey = keySpec{step.KeyPath, "name", kindString, "the new name"}
	inKey     = keySpec{step.KeyIn, "in", kindHandle, "the directory"}
	insideKey = keySpec{step.KeyInside, "inside", kindHandle, "a user namespace to setns(2) into first, in a process of its own"}
	thenKey   = keySpec{step.KeyThen, "then", kindCaps, "with inside=: with just these effective capabilities once it has entered, and not with all"}
)

func handleKey(doc string) keySpec { return keySpec{step.KeyHandle, "handle", kindHandle, doc} }

func contextKey() keySpec {
	return keySpec{step.KeyContext, "context", kindHandle, "what fsopen or fspick made"}
}

// mountOps are the operations around a bpffs. Each is one system call of the
// actor, with exactly its capabilities.
var mountOps = []opSpec{
	{op: step.OpFsopen, makes: true, doc: `fsopen("bpf"): a context, whose bpffs will belong to the actor's user namespace`},
	{op: step.OpFsconfig, keys: append([]keySpec{contextKey(), {step.KeyFlag, "flag", kindString, "the name of an option, set without a value"}}, optionKeys...),
		positional: []step.Key{step.KeyContext}, doc: "FSCONFIG_SET_STRING for each option in turn; the first that is refused ends the step"},
	{op: step.OpFscreate, keys: []keySpec{contextKey()}, positional: []step.Key{step.KeyContext}, doc: "FSCONFIG_CMD_CREATE"},
	{op: step.OpFsreconfigure, keys: []keySpec{contextKey()}, positional: []step.Key{step.KeyContext}, doc: "FSCONFIG_CMD_RECONFIGURE"},
	{op: step.OpFspick, keys: []keySpec{atKey}, required: []step.Key{step.KeyAt}, makes: true, doc: "fspick(2): a context to reconfigure what is mounted there"},
	{op: step.OpFsmount, keys: []keySpec{contextKey()}, positional: []step.Key{step.KeyContext}, makes: true, doc: "fsmount(2): a mount that is nowhere yet"},
	{op: step.OpMoveMount, keys: []keySpec{{step.KeyMount, "mount", kindHandle, "what fsmount or clone_mount made"}, atKey},
		positional: []step.Key{step.KeyMount}, required: []step.Key{step.KeyAt}, doc: "move_mount(2) to a place"},
	{op: step.OpMount, keys: append([]keySpec{atKey}, optionKeys...), required: []step.Key{step.KeyAt}, doc: "mount(2) of a bpffs with the options as data"},
	{op: step.OpRemount, keys: append([]keySpec{atKey}, optionKeys...), required: []step.Key{step.KeyAt}, doc: "mount(2) with MS_REMOUNT and the options as data"},
	{op: step.OpBind, keys: []keySpec{{step.KeyShown, "from", kindPlace, "what to show elsewhere"}, atKey},
		required: []step.Key{step.KeyShown, step.KeyAt}, doc: "mount(2) with MS_BIND"},
	{op: step.OpCloneMount, keys: []keySpec{atKey}, required: []step.Key{step.KeyAt}, makes: true, doc: "open_tree(2) with OPEN_TREE_CLONE: a copy of the mount that is nowhere yet"},
	{op: step.OpShare, keys: []keySpec{atKey}, required: []step.Key{step.KeyAt},
		doc: "mount(2) with MS_SHARED: what is mounted on it is mounted on its copies, too, wherever they are"},
	{op: step.OpUmount, keys: []keySpec{atKey, {step.KeyLazy, "lazy", kindNum, "1: with MNT_DETACH"}}, required: []step.Key{step.KeyAt}, doc: "umount2(2)"},
	{op: step.OpOpen, keys: []keySpec{
		{step.KeyHandle, "of", kindHandle, "a mount or a directory"}, {step.KeyAt, "at", kindPlace, "or a place; /tmp is one that is no bpffs"},
		{step.KeyPath, "path", kindString, "a name below it"}, {step.KeyHow, "how", kindHow, "dir: O_RDONLY|O_DIRECTORY, as without it; path: O_PATH"},
	}, either: []step.Key{step.KeyHandle, step.KeyAt}, makes: true, doc: "openat(2)"},
	{op: step.OpMkdir, keys: []keySpec{inKey, nameInKey}, required: []step.Key{step.KeyIn, step.KeyPath}, doc: "mkdirat(2)"},
	{op: step.OpChmod, keys: []keySpec{handleKey("a directory"), {step.KeyMode, "mode", kindString, "the permission bits, octal"}},
		positional: []step.Key{step.KeyHandle}, required: []step.Key{step.KeyMode}, doc: "fchmod(2)"},
	{op: step.OpStat, keys: []keySpec{handleKey("a directory")}, positional: []step.Key{step.KeyHandle}, doc: "what fstat(2) shows of mode, owner and group is compared"},
	{op: step.OpMountinfo, keys: []keySpec{atKey}, required: []step.Key{step.KeyAt}, doc: "what /proc/self/mountinfo shows of the options is compared"},
	{op: step.OpFdinfo, keys: []keySpec{handleKey("a token")}, positional: []step.Key{step.KeyHandle}, doc: "the masks in the token's fdinfo are compared"},
	{op: step.OpTokenInfo, keys: []keySpec{handleKey("a token")}, positional: []step.Key{step.KeyHandle}, doc: "BPF_OBJ_GET_INFO_BY_FD of a token; the masks are compared"},
	{op: step.OpPin, keys: []keySpec{handleKey("what to pin"), inKey, nameInKey}, positional: []step.Key{step.KeyHandle},
		required: []step.Key{step.KeyIn, step.KeyPath}, doc: "BPF_OBJ_PIN"},
	{op: step.OpLink, keys: []keySpec{handleKey("what to link"), inKey, nameInKey}, positional: []step.Key{step.KeyHandle},
		required: []step.Key{step.KeyIn, step.KeyPath}, doc: "linkat(2) of the descriptor's file"},
}

var fromKey = keySpec{step.KeyFrom, "from", kindActor, "the actor whose descriptor it is"}

// lifeOps are the operations on the life of a descriptor and of an actor.
var lifeOps = []opSpec{
	{op: step.OpDup, keys: []keySpec{handleKey("what to copy")}, positional: []step.Key{step.KeyHandle}, makes: true, doc: "a copy of a descriptor, as dup(2) makes it"},
	{op: step.OpCloexec, keys: []keySpec{handleKey("a descriptor"), {step.KeyOn01, "on", kindNum, "0: it stays open over exec; 1: it does not, as every descriptor at first"}},
		positional: []step.Key{step.KeyHandle, step.KeyOn01}, doc: "F_SETFD"},
	{op: step.OpExec, doc: "execve(2): the actor's process starts its program again; descriptors with FD_CLOEXEC are gone"},
	{op: step.OpFork, keys: []keySpec{{step.KeyTo, "child", kindActor, "an actor declared as child ACTOR"}}, positional: []step.Key{step.KeyTo},
		doc: "fork(2) and execve(2): the child has the descriptors without FD_CLOEXEC"},
	{op: step.OpExit, doc: "the actor's process ends, and with it what nobody else holds"},
	{op: step.OpUserns, makes: true, doc: "open /proc/thread-self/ns/user"},
	{op: step.OpSetns, keys: []keySpec{{step.KeyInside, "userns", kindHandle, "what userns made"}}, positional: []step.Key{step.KeyInside}, doc: "setns(2) with CLONE_NEWUSER, in a process of its own"},
	{op: step.OpPidfdGetfd, keys: []keySpec{handleKey("what to take"), fromKey}, positional: []step.Key{step.KeyHandle},
		required: []step.Key{step.KeyFrom}, makes: true, doc: "pidfd_getfd(2): take another process's descriptor"},
	{op: step.OpProcOpen, keys: []keySpec{handleKey("what to open"), fromKey}, positional: []step.Key{step.KeyHandle},
		required: []step.Key{step.KeyFrom}, makes: true, doc: "open /proc/PID/fd/N with O_PATH"},
	{op: step.OpChurn, keys: []keySpec{{step.KeyBPFFS, "bpffs", kindHandle, "the bpffs"}, {step.KeyTimes, "times", kindNum, "how often"},
		{step.KeySlack, "slack", kindNum, "how many slab objects more there may be behind it; kilobytes of slab, where the kernel counts no objects (no CONFIG_SLUB_DEBUG)"}, noFDKey},
		required: []step.Key{step.KeyBPFFS, step.KeyTimes, step.KeySlack}, doc: "BPF_TOKEN_CREATE and close, again and again, or with no_fd=1 each refused with EMFILE; the kernel's slab objects are counted before and behind"},
	{op: step.OpNamespaces, keys: []keySpec{{step.KeyTimes, "times", kindNum, "how often"}, {step.KeySlack, "slack", kindNum, "how many user namespaces the kernel allows meanwhile beside those that are there"}},
		required: []step.Key{step.KeyTimes, step.KeySlack}, doc: "a user namespace with a bpffs, a token, and a map, a BTF and a program made through it is made and left, again and again, while /proc/sys/user/max_user_namespaces bounds how many there may be"},
	{op: step.OpRace, keys: []keySpec{{step.KeyRace, "what", kindRace, "create_umount, use_close or delegate_exit"}, {step.KeyTimes, "times", kindNum, "how often"},
		{step.KeyBPFFS, "bpffs", kindHandle, "the bpffs"}, {step.KeyToken, "token", kindHandle, "the token"}, {step.KeyAt, "at", kindPlace, "where the bpffs is mounted"}},
		positional: []step.Key{step.KeyRace}, required: []step.Key{step.KeyTimes}, doc: "two things at the same time; every errno that comes must be one of those that either order gives"},
}

// argWords are the kinds of arguments that are one of a few words.
var argWords = map[argKind][]string{
	kindFault: step.AttrFaults, kindBody: step.Bodies, kindOn: step.Ons,
	kindPlace: step.Places, kindHow: step.Hows, kindRace: step.Races, kindMake: step.Makes,
	kindDo: step.Dos, kindBuffer: step.Buffers,
}

// complete refuses a step that leaves out what its operation wants.
func (o *opSpec) complete(s *step.Step) error {
	given := func(k step.Key) bool {
		return slices.ContainsFunc(s.Args, func(a step.Arg) bool { return a.Key == k })
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
