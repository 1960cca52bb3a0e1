package step

// The operations around a bpffs: its context, its mounts and its root.
const (
	OpFsopen Op = iota + 100
	OpFsconfig
	OpFscreate
	OpFsreconfigure
	OpFspick
	OpFsmount
	OpMoveMount
	OpMount
	OpRemount
	OpBind
	OpCloneMount
	OpUmount
	OpOpen
	OpMkdir
	OpChmod
	OpStat
	OpMountinfo
	OpFdinfo
	OpTokenInfo
	OpPin
	OpLink
	OpShare
)

// The operations on a descriptor's and an actor's life.
const (
	OpDup Op = iota + 140
	OpCloexec
	OpExec
	OpFork
	OpExit
	OpUserns
	OpSetns
	OpPidfdGetfd
	OpProcOpen
	OpChurn
	OpNamespaces
	OpRace
)

func init() {
	for op, name := range map[Op]string{
		OpFsopen: "fsopen", OpFsconfig: "fsconfig", OpFscreate: "fscreate", OpFsreconfigure: "fsreconfigure", OpFspick: "fspick",
		OpFsmount: "fsmount", OpMoveMount: "move_mount", OpMount: "mount", OpRemount: "remount", OpBind: "bind",
		OpCloneMount: "clone_mount", OpUmount: "umount", OpOpen: "open", OpMkdir: "mkdir", OpChmod: "chmod", OpStat: "stat",
		OpMountinfo: "mountinfo", OpFdinfo: "fdinfo", OpTokenInfo: "token_info", OpPin: "pin", OpLink: "link", OpShare: "share",
		OpDup: "dup", OpCloexec: "cloexec", OpExec: "exec", OpFork: "fork", OpExit: "exit", OpUserns: "userns", OpSetns: "setns",
		OpPidfdGetfd: "pidfd_getfd", OpProcOpen: "proc_open", OpChurn: "churn", OpNamespaces: "namespaces", OpRace: "race",
	} {
		opNames[op] = name
	}
	options[KeyUID], options[KeyGID], options[KeyMode], options[KeyUnknown] = "uid", "gid", "mode", "unknown"
}

// The arguments of these operations. KeyInside belongs to the calls of bpf(2).
const (
	KeyUID     Key = iota + 212 // a mount option, as it stands
	KeyGID                      // a mount option
	KeyMode                     // a mount option; of chmod
	KeyUnknown                  // a mount option that bpffs does not have
	KeyFlag                     // the name of a mount option that is set without a value
	KeyContext                  // the descriptor of fsopen or fspick
	KeyMount                    // the descriptor of fsmount or clone_mount
	KeyAt                       // a Place
	KeyShown                    // a Place that is bound elsewhere
	KeyPath                     // a name below a directory
	KeyHow                      // a How
	KeyLazy                     // umount with MNT_DETACH
	KeyIn                       // the directory that a name is made in
	KeyFrom                     // the actor whose descriptor it is
	KeyInside                   // the user namespace to enter first
	KeyTimes
	KeySlack
	KeyPID    // filled in by the broker: the process of KeyFrom
	KeyNumber // filled in by the broker: the descriptor's number there
	KeyRace   // a Race
	KeyOn01   // 0 or 1
	KeyThen   // the effective capabilities once it has entered KeyInside
)

// Places are the directories that file systems are mounted on, as a case file
// spells them; there is none in place 0. The last one is no bpffs.
var Places = []string{"", "/mnt/a", "/mnt/b", "/mnt/c", "/mnt/d", "/tmp"}

// How says what open asks for.
type How uint8

// The ways to open.
const (
	HowDir  How = iota + 1 // O_RDONLY|O_DIRECTORY
	HowPath                // O_PATH
)

// Hows are the ways as a case file spells them.
var Hows = []string{HowDir: "dir", HowPath: "path"}

// Race is two things that an actor, or two of them, do at the same time.
type Race uint8

// The races.
const (
	RaceCreateUmount Race = iota + 1 // TOKEN_CREATE while the bpffs is unmounted and its descriptor closed
	RaceUseClose                     // MAP_CREATE with a token that another thread closes
	RaceDelegateExit                 // the broker delegates while the last process of the namespace exits
)

// Races are the races as a case file spells them.
var Races = []string{RaceCreateUmount: "create_umount", RaceUseClose: "use_close", RaceDelegateExit: "delegate_exit"}

// Observes reports whether an operation only looks at what is there. A thread
// that dropped its privileges may not read its own process's files in /proc,
// and so the actor's first thread looks.
func (o Op) Observes() bool {
	return o == OpStat || o == OpMountinfo || o == OpFdinfo
}
