package guest

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// kept makes an observation of a call that may have made a descriptor.
func kept(fd int, err error) (int, step.Observation) {
	if err != nil {
		return noFD, step.Observation{Errno: errnoOf(err)}
	}
	return fd, step.Observation{}
}

func done(err error) (int, step.Observation) {
	return noFD, step.Observation{Errno: errnoOf(err)}
}

// place returns the directory that an argument names.
func place(s *step.Step, k step.Key) string {
	if file := str(s, k); file != "" {
		return file
	}
	n, _ := s.Num(k)
	if n >= uint64(len(step.Places)) {
		return ""
	}
	return step.Places[n]
}

func (a *actor) fsopen(*step.Step) (int, step.Observation) {
	return kept(unix.Fsopen("bpf", unix.FSOPEN_CLOEXEC))
}

func (a *actor) fsconfig(s *step.Step) (int, step.Observation) {
	context := a.fd(s, step.KeyContext)
	for i := range s.Args {
		arg := &s.Args[i]
		var err error
		switch {
		case arg.Key == step.KeyFlag:
			err = unix.FsconfigSetFlag(context, arg.Str)
		case arg.Key.MountOption() != "":
			err = setOption(context, s, arg.Key.MountOption(), a.btf.option(arg))
		}
		if err != nil {
			return done(err)
		}
	}
	return done(nil)
}

func (a *actor) fscreate(s *step.Step) (int, step.Observation) {
	if excl, _ := s.Num(step.KeyExcl); excl != 0 {
		return done(fsconfig(a.fd(s, step.KeyContext), createExcl, "", nil, 0))
	}
	return done(unix.FsconfigCreate(a.fd(s, step.KeyContext)))
}

func (a *actor) fsreconfigure(s *step.Step) (int, step.Observation) {
	return done(unix.FsconfigReconfigure(a.fd(s, step.KeyContext)))
}

func (a *actor) fspick(s *step.Step) (int, step.Observation) {
	return kept(unix.Fspick(unix.AT_FDCWD, place(s, step.KeyAt), unix.FSPICK_CLOEXEC))
}

func (a *actor) fsmount(s *step.Step) (int, step.Observation) {
	attrs := 0
	if only, _ := s.Num(step.KeyReadonly); only != 0 {
		attrs = unix.MOUNT_ATTR_RDONLY
	}
	return kept(unix.Fsmount(a.fd(s, step.KeyContext), unix.FSMOUNT_CLOEXEC, attrs))
}

// mounted notes the place of a mount, so that forget unmounts it.
func (a *actor) mounted(s *step.Step, err error) (int, step.Observation) {
	if err == nil {
		a.places = append(a.places, place(s, step.KeyAt))
	}
	return done(err)
}

func (a *actor) moveMount(s *step.Step) (int, step.Observation) {
	const flags = unix.MOVE_MOUNT_F_EMPTY_PATH
	return a.mounted(s, unix.MoveMount(a.fd(s, step.KeyMount), "", unix.AT_FDCWD, place(s, step.KeyAt), flags))
}

// mountData joins a step's mount options as mount(2) takes them.
func (t *typeIDs) mountData(s *step.Step) string {
	var out []string
	for i := range s.Args {
		if name := s.Args[i].Key.MountOption(); name != "" {
			out = append(out, name+"="+t.option(&s.Args[i]))
		}
	}
	return strings.Join(out, ",")
}

func (a *actor) mountBPFFS(s *step.Step) (int, step.Observation) {
	return a.mounted(s, unix.Mount("none", place(s, step.KeyAt), "bpf", 0, a.btf.mountData(s)))
}

func (a *actor) remount(s *step.Step) (int, step.Observation) {
	return done(unix.Mount("none", place(s, step.KeyAt), "bpf", unix.MS_REMOUNT, a.btf.mountData(s)))
}

func (a *actor) bind(s *step.Step) (int, step.Observation) {
	from := place(s, step.KeyShown)
	if has(s, step.KeyHandle) {
		from = a.procFile(s)
	}
	err := unix.Mount(from, place(s, step.KeyAt), "", unix.MS_BIND, "")
	if err == nil && has(s, step.KeyReadonly) {
		err = unix.Mount("", place(s, step.KeyAt), "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, "")
	}
	return a.mounted(s, err)
}

func (a *actor) cloneMount(s *step.Step) (int, step.Observation) {
	const flags = unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC
	if has(s, step.KeyHandle) {
		return kept(unix.OpenTree(a.fd(s, step.KeyHandle), "", flags|unix.AT_EMPTY_PATH))
	}
	return kept(unix.OpenTree(unix.AT_FDCWD, place(s, step.KeyAt), flags))
}

func (a *actor) share(s *step.Step) (int, step.Observation) {
	return done(unix.Mount("", place(s, step.KeyAt), "", unix.MS_SHARED, ""))
}

func (a *actor) umount(s *step.Step) (int, step.Observation) {
	flags := 0
	if lazy, _ := s.Num(step.KeyLazy); lazy != 0 {
		flags = unix.MNT_DETACH
	}
	return done(unix.Unmount(place(s, step.KeyAt), flags))
}

// unmountAll removes the mounts of the last world.
func (a *actor) unmountAll() {
	for i := len(a.places) - 1; i >= 0; i-- {
		unix.Unmount(a.places[i], unix.MNT_DETACH) // where a step has done so already there is nothing
	}
	a.places = nil
	for _, at := range step.Places[1:] {
		for n := 0; n < deepest && strings.HasPrefix(at, "/mnt/") && unix.Unmount(at, unix.MNT_DETACH) == nil; n++ {
		}
	}
}

// deepest is more mounts than a world puts on one place.
const deepest = 64

func str(s *step.Step, k step.Key) string {
	for _, arg := range s.Args {
		if arg.Key == k {
			return arg.Str
		}
	}
	return ""
}

func (a *actor) openDir(s *step.Step) (int, step.Observation) {
	flags := unix.O_RDONLY | unix.O_DIRECTORY
	if how, _ := s.Num(step.KeyHow); step.How(how) == step.HowPath {
		flags = unix.O_PATH
	}
	dir, name := unix.AT_FDCWD, place(s, step.KeyAt)
	if has(s, step.KeyHandle) {
		dir, name = a.fd(s, step.KeyHandle), "."
	}
	if below := str(s, step.KeyPath); below != "" {
		name += "/" + below
	}
	return kept(unix.Openat(dir, name, flags|unix.O_CLOEXEC, 0))
}

const dirMode = 0o755

func (a *actor) mkdir(s *step.Step) (int, step.Observation) {
	return done(unix.Mkdirat(a.fd(s, step.KeyIn), str(s, step.KeyPath), dirMode))
}

// symlink makes a symbolic link to a name that is not there.
func (a *actor) symlink(s *step.Step) (int, step.Observation) {
	return done(unix.Symlinkat("none", a.fd(s, step.KeyIn), str(s, step.KeyPath)))
}

func (a *actor) chmod(s *step.Step) (int, step.Observation) {
	mode, err := strconv.ParseUint(str(s, step.KeyMode), 8, 32)
	if err != nil {
		return done(unix.EINVAL)
	}
	if name := str(s, step.KeyPath); name != "" {
		return done(unix.Fchmodat(a.fd(s, step.KeyHandle), name, uint32(mode), 0))
	}
	return done(unix.Fchmod(a.fd(s, step.KeyHandle), uint32(mode)))
}

func (a *actor) stat(s *step.Step) (int, step.Observation) {
	var st unix.Stat_t
	if err := unix.Fstat(a.fd(s, step.KeyHandle), &st); err != nil {
		return done(err)
	}
	return noFD, step.Observation{Text: fmt.Sprintf("mode=%o uid=%d gid=%d", st.Mode&0o7777, st.Uid, st.Gid)}
}

// mountinfo reads the options that the kernel shows of the last mount at a
// place: the last field of its line.
func (a *actor) mountinfo(s *step.Step) (int, step.Observation) {
	if has(s, step.KeyBy) {
		return statmount(place(s, step.KeyAt))
	}
	text, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		return done(err)
	}
	o := step.Observation{Errno: uapi.Errno(unix.ENOENT)}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) > mountPoint && f[mountPoint] == place(s, step.KeyAt) {
			o = step.Observation{Text: f[len(f)-1]}
		}
	}
	return noFD, o
}

// mountPoint is the field of a line of mountinfo that holds the directory.
const mountPoint = 4

func (a *actor) fdinfo(s *step.Step) (int, step.Observation) {
	proof, values := proveToken(a.fd(s, step.KeyHandle))
	if values == nil { // the descriptor is not a token's
		return noFD, step.Observation{Errno: uapi.Errno(unix.ENODATA)}
	}
	return noFD, step.Observation{Proof: proof, Values: values}
}

func (a *actor) pin(s *step.Step) (int, step.Observation) {
	name, err := unix.ByteSliceFromString(str(s, step.KeyPath))
	if err != nil {
		return done(unix.EINVAL)
	}
	var at attr
	at.ptr(uapi.Attr_pathname, &name[0])
	at.i32(uapi.Attr_bpf_fd, a.fd(s, step.KeyHandle))
	at.u32(uapi.Attr_file_flags, pathFD)
	at.i32(uapi.Attr_path_fd, a.fd(s, step.KeyIn))
	_, errno := bpf(uapi.BPF_OBJ_PIN, &at)
	return noFD, step.Observation{Errno: errno}
}

// linkAt follows the descriptor's link in /proc, for which no capability is wanted.
func (a *actor) linkAt(s *step.Step) (int, step.Observation) {
	old := "/proc/thread-self/fd/" + strconv.Itoa(a.fd(s, step.KeyHandle))
	return done(unix.Linkat(unix.AT_FDCWD, old, a.fd(s, step.KeyIn), str(s, step.KeyPath), unix.AT_SYMLINK_FOLLOW))
}

var errNoActor = errors.New("the actor has no process")
