package guest

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"tokentest/cases/program"
	"tokentest/cases/uapi"
)

// makePlaces makes the directories that actors mount on.
func makePlaces() error {
	for _, dir := range program.Places[1:] {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make a place to mount on: %w", err)
		}
	}
	return nil
}

// hardening is what restricts tracing (Yama), hard links and perf events beyond
// the kernel's own checks, which the oracle follows, and the value that does not.
// Distributions turn it on.
var hardening = map[string]string{
	"/proc/sys/kernel/yama/ptrace_scope": "0", "/proc/sys/fs/protected_hardlinks": "0", "/proc/sys/kernel/perf_event_paranoid": "-1",
}

// soften turns it off, where it is there. RLIMIT_MEMLOCK, against which maps and
// programs count before 5.11, is lifted for this process and its actors.
func soften() error {
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}); err != nil {
		return fmt.Errorf("lift RLIMIT_MEMLOCK: %w", err)
	}
	for file, value := range hardening {
		err := os.WriteFile(file, []byte(value+"\n"), 0)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("leave a decision to the kernel's own checks: %w", err)
		}
	}
	return nil
}

// mountSteps are the operations around a bpffs. Each makes its call, and the
// descriptor that the call made is kept.
var mountSteps = map[program.Op]func(a *actor, s *program.Step) (fd int, o program.Observation){
	program.OpFsopen:        (*actor).fsopen,
	program.OpFsconfig:      (*actor).fsconfig,
	program.OpFscreate:      (*actor).fscreate,
	program.OpFsreconfigure: (*actor).fsreconfigure,
	program.OpFspick:        (*actor).fspick,
	program.OpFsmount:       (*actor).fsmount,
	program.OpMoveMount:     (*actor).moveMount,
	program.OpMount:         (*actor).mountBPFFS,
	program.OpRemount:       (*actor).remount,
	program.OpBind:          (*actor).bind,
	program.OpCloneMount:    (*actor).cloneMount,
	program.OpUmount:        (*actor).umount,
	program.OpShare:         (*actor).share,
	program.OpOpen:          (*actor).openDir,
	program.OpMkdir:         (*actor).mkdir,
	program.OpChmod:         (*actor).chmod,
	program.OpStat:          (*actor).stat,
	program.OpMountinfo:     (*actor).mountinfo,
	program.OpFdinfo:        (*actor).fdinfo,
	program.OpTokenInfo:     (*actor).tokenInfo,
	program.OpPin:           (*actor).pin,
	program.OpLink:          (*actor).linkAt,
}

// kept makes an observation of a call that may have made a descriptor.
func kept(fd int, err error) (int, program.Observation) {
	if err != nil {
		return noFD, program.Observation{Errno: errnoOf(err)}
	}
	return fd, program.Observation{}
}

func done(err error) (int, program.Observation) {
	return noFD, program.Observation{Errno: errnoOf(err)}
}

// place returns the directory that an argument names.
func place(s *program.Step, k program.Key) string {
	n, _ := s.Num(k)
	if n >= uint64(len(program.Places)) {
		return ""
	}
	return program.Places[n]
}

func (a *actor) fsopen(*program.Step) (int, program.Observation) {
	return kept(unix.Fsopen("bpf", unix.FSOPEN_CLOEXEC))
}

func (a *actor) fsconfig(s *program.Step) (int, program.Observation) {
	context := a.fd(s, program.KeyContext)
	for _, arg := range s.Args {
		var err error
		switch {
		case arg.Key == program.KeyFlag:
			err = unix.FsconfigSetFlag(context, arg.Str)
		case arg.Key.MountOption() != "":
			err = unix.FsconfigSetString(context, arg.Key.MountOption(), arg.Str)
		}
		if err != nil {
			return done(err)
		}
	}
	return done(nil)
}

func (a *actor) fscreate(s *program.Step) (int, program.Observation) {
	return done(unix.FsconfigCreate(a.fd(s, program.KeyContext)))
}

func (a *actor) fsreconfigure(s *program.Step) (int, program.Observation) {
	return done(unix.FsconfigReconfigure(a.fd(s, program.KeyContext)))
}

func (a *actor) fspick(s *program.Step) (int, program.Observation) {
	return kept(unix.Fspick(unix.AT_FDCWD, place(s, program.KeyAt), unix.FSPICK_CLOEXEC))
}

func (a *actor) fsmount(s *program.Step) (int, program.Observation) {
	return kept(unix.Fsmount(a.fd(s, program.KeyContext), unix.FSMOUNT_CLOEXEC, 0))
}

// mounted notes what was mounted where, for forget to take away.
func (a *actor) mounted(s *program.Step, err error) (int, program.Observation) {
	if err == nil {
		a.places = append(a.places, place(s, program.KeyAt))
	}
	return done(err)
}

func (a *actor) moveMount(s *program.Step) (int, program.Observation) {
	return a.mounted(s, unix.MoveMount(a.fd(s, program.KeyMount), "", unix.AT_FDCWD, place(s, program.KeyAt), unix.MOVE_MOUNT_F_EMPTY_PATH))
}

// mountData joins a step's mount options as mount(2) takes them.
func mountData(s *program.Step) string {
	var out []string
	for _, arg := range s.Args {
		if name := arg.Key.MountOption(); name != "" {
			out = append(out, name+"="+arg.Str)
		}
	}
	return strings.Join(out, ",")
}

func (a *actor) mountBPFFS(s *program.Step) (int, program.Observation) {
	return a.mounted(s, unix.Mount("none", place(s, program.KeyAt), "bpf", 0, mountData(s)))
}

func (a *actor) remount(s *program.Step) (int, program.Observation) {
	return done(unix.Mount("none", place(s, program.KeyAt), "bpf", unix.MS_REMOUNT, mountData(s)))
}

func (a *actor) bind(s *program.Step) (int, program.Observation) {
	return a.mounted(s, unix.Mount(place(s, program.KeyShown), place(s, program.KeyAt), "", unix.MS_BIND, ""))
}

func (a *actor) cloneMount(s *program.Step) (int, program.Observation) {
	return kept(unix.OpenTree(unix.AT_FDCWD, place(s, program.KeyAt), unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC))
}

func (a *actor) share(s *program.Step) (int, program.Observation) {
	return done(unix.Mount("", place(s, program.KeyAt), "", unix.MS_SHARED, ""))
}

func (a *actor) umount(s *program.Step) (int, program.Observation) {
	flags := 0
	if lazy, _ := s.Num(program.KeyLazy); lazy != 0 {
		flags = unix.MNT_DETACH
	}
	return done(unix.Unmount(place(s, program.KeyAt), flags))
}

// leave takes away what the world that is over has mounted.
func (a *actor) leave() {
	for i := len(a.places) - 1; i >= 0; i-- {
		unix.Unmount(a.places[i], unix.MNT_DETACH) // where a step has done so already there is nothing
	}
	a.places = nil
	for _, at := range program.Places[1:] {
		for n := 0; n < deepest && strings.HasPrefix(at, "/mnt/") && unix.Unmount(at, unix.MNT_DETACH) == nil; n++ {
		}
	}
}

// deepest is more mounts than a world puts on one place.
const deepest = 64

func str(s *program.Step, k program.Key) string {
	for _, arg := range s.Args {
		if arg.Key == k {
			return arg.Str
		}
	}
	return ""
}

func (a *actor) openDir(s *program.Step) (int, program.Observation) {
	flags := unix.O_RDONLY | unix.O_DIRECTORY
	if how, _ := s.Num(program.KeyHow); program.How(how) == program.HowPath {
		flags = unix.O_PATH
	}
	dir, name := unix.AT_FDCWD, place(s, program.KeyAt)
	if has(s, program.KeyHandle) {
		dir, name = a.fd(s, program.KeyHandle), "."
	}
	if below := str(s, program.KeyPath); below != "" {
		name += "/" + below
	}
	return kept(unix.Openat(dir, name, flags|unix.O_CLOEXEC, 0))
}

const dirMode = 0o755

func (a *actor) mkdir(s *program.Step) (int, program.Observation) {
	return done(unix.Mkdirat(a.fd(s, program.KeyIn), str(s, program.KeyPath), dirMode))
}

func (a *actor) chmod(s *program.Step) (int, program.Observation) {
	mode, err := strconv.ParseUint(str(s, program.KeyMode), 8, 32)
	if err != nil {
		return done(unix.EINVAL)
	}
	return done(unix.Fchmod(a.fd(s, program.KeyHandle), uint32(mode)))
}

func (a *actor) stat(s *program.Step) (int, program.Observation) {
	var st unix.Stat_t
	if err := unix.Fstat(a.fd(s, program.KeyHandle), &st); err != nil {
		return done(err)
	}
	return noFD, program.Observation{Text: fmt.Sprintf("mode=%o uid=%d gid=%d", st.Mode&0o7777, st.Uid, st.Gid)}
}

// mountinfo reads the options that the kernel shows of the last mount at a
// place: the last field of its line.
func (a *actor) mountinfo(s *program.Step) (int, program.Observation) {
	text, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		return done(err)
	}
	o := program.Observation{Errno: uapi.Errno(unix.ENOENT)}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) > mountPoint && f[mountPoint] == place(s, program.KeyAt) {
			o = program.Observation{Text: f[len(f)-1]}
		}
	}
	return noFD, o
}

// mountPoint is the field of a line of mountinfo that holds the directory.
const mountPoint = 4

func (a *actor) fdinfo(s *program.Step) (int, program.Observation) {
	proof, values := proveToken(a.fd(s, program.KeyHandle))
	return noFD, program.Observation{Proof: proof, Values: values}
}

// tokenInfoLen is sizeof(struct bpf_token_info).
const tokenInfoLen = 32

func (a *actor) tokenInfo(s *program.Step) (int, program.Observation) {
	info := make([]uint64, tokenInfoLen/8)
	var at attr
	at.i32(0, a.fd(s, program.KeyHandle))
	at.u32(4, tokenInfoLen)
	at.ptr(8, (*byte)(unsafe.Pointer(&info[0])))
	_, errno := bpf(uapi.BPF_OBJ_GET_INFO_BY_FD, &at)
	if errno != 0 {
		return noFD, program.Observation{Errno: errno}
	}
	return noFD, program.Observation{Proof: program.Works, Values: info}
}

func (a *actor) pin(s *program.Step) (int, program.Observation) {
	name, err := unix.ByteSliceFromString(str(s, program.KeyPath))
	if err != nil {
		return done(unix.EINVAL)
	}
	var at attr
	at.ptr(0, &name[0])
	at.i32(8, a.fd(s, program.KeyHandle))
	at.u32(12, pathFD)
	at.i32(16, a.fd(s, program.KeyIn))
	_, errno := bpf(uapi.BPF_OBJ_PIN, &at)
	return noFD, program.Observation{Errno: errno}
}

// linkAt follows the descriptor's link in /proc, for which no capability is wanted.
func (a *actor) linkAt(s *program.Step) (int, program.Observation) {
	old := "/proc/thread-self/fd/" + strconv.Itoa(a.fd(s, program.KeyHandle))
	return done(unix.Linkat(unix.AT_FDCWD, old, a.fd(s, program.KeyIn), str(s, program.KeyPath), unix.AT_SYMLINK_FOLLOW))
}

// more makes the calls that are not bpf(2)'s.
func (a *actor) more(s *program.Step) program.Observation {
	call := mountSteps[s.Op]
	if call == nil {
		call = lifeSteps[s.Op]
	}
	if call == nil {
		call = paritySteps[s.Op]
	}
	if call == nil {
		return program.Observation{Errno: uapi.Errno(unix.ENOSYS)}
	}
	fd, o := call(a, s)
	switch {
	case o.Errno != 0 || fd == noFD:
	case s.Out != 0:
		a.set(s.Out, fd)
	default:
		unix.Close(fd)
	}
	return o
}

var errNoActor = errors.New("the actor's process is not there")
