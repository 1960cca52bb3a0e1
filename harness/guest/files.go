package guest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"

	"tokentest/cases/step"
)

// The commands of fsconfig(2), include/uapi/linux/mount.h.
const (
	setBinary    = 2
	setPath      = 3
	setPathEmpty = 4
	setFD        = 5
	createExcl   = 8
)

// fsconfig makes one call of fsconfig(2).
func fsconfig(context int, cmd uint, key string, value *byte, aux int) error {
	var name *byte
	if key != "" {
		var err error
		if name, err = unix.BytePtrFromString(key); err != nil {
			return err
		}
	}
	_, _, errno := unix.Syscall6(unix.SYS_FSCONFIG, uintptr(context), uintptr(cmd), uintptr(unsafe.Pointer(name)),
		uintptr(unsafe.Pointer(value)), uintptr(aux), 0)
	runtime.KeepAlive(name)
	runtime.KeepAlive(value)
	if errno != 0 {
		return errno
	}
	return nil
}

// setOption sets an option in the form that the step names.
func setOption(context int, s *step.Step, key, value string) error {
	text, err := unix.BytePtrFromString(value)
	if err != nil {
		return err
	}
	as, _ := s.Num(step.KeyAs)
	switch step.Form(as) {
	case step.FormBinary:
		return fsconfig(context, setBinary, key, text, max(len(value), 1))
	case step.FormPath:
		return fsconfig(context, setPath, key, text, unix.AT_FDCWD)
	case step.FormPathEmpty:
		return fsconfig(context, setPathEmpty, key, text, unix.AT_FDCWD)
	case step.FormFD:
		return fsconfig(context, setFD, key, nil, context)
	}
	return unix.FsconfigSetString(context, key, value)
}

// procFile is the name in /proc of a descriptor's file.
func (a *actor) procFile(s *step.Step) string {
	return "/proc/thread-self/fd/" + strconv.Itoa(a.fd(s, step.KeyHandle))
}

func (a *actor) mountAttr(s *step.Step) (int, step.Observation) {
	attr := &unix.MountAttr{}
	if only, given := s.Num(step.KeyReadonly); given && only != 0 {
		attr.Attr_set = unix.MOUNT_ATTR_RDONLY
	} else if given {
		attr.Attr_clr = unix.MOUNT_ATTR_RDONLY
	} else {
		attr.Attr_set, attr.Userns_fd = unix.MOUNT_ATTR_IDMAP, uint64(a.fd(s, step.KeyIDMap))
	}
	return done(unix.MountSetattr(a.fd(s, step.KeyMount), "", unix.AT_EMPTY_PATH, attr))
}

// fileSize is what a token is truncated to.
const fileSize = 4096

func (a *actor) fileCall(s *step.Step) (int, step.Observation) {
	fd, one := a.fd(s, step.KeyHandle), make([]byte, 1)
	do, _ := s.Num(step.KeyFileDo)
	var err error
	switch step.FileDo(do) {
	case step.FileTruncate:
		err = unix.Ftruncate(fd, fileSize)
	case step.FileRead:
		_, err = unix.Read(fd, one)
	case step.FileWrite:
		_, err = unix.Write(fd, one)
	case step.FileWatch:
		var watch int
		if watch, err = unix.InotifyInit1(unix.IN_CLOEXEC); err == nil {
			_, err = unix.InotifyAddWatch(watch, a.procFile(s), unix.IN_ALL_EVENTS)
			unix.Close(watch)
		}
	}
	return done(err)
}

// procFdinfo reads the fdinfo of a descriptor of another process.
func (a *actor) procFdinfo(s *step.Step) (int, step.Observation) {
	pid, _ := s.Num(step.KeyPID)
	number, _ := s.Num(step.KeyNumber)
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%d", pid, number))
	if err != nil {
		return done(err)
	}
	proof, values := masksIn(string(text))
	return noFD, step.Observation{Proof: proof, Values: values}
}

// The parts of statmount(2), include/uapi/linux/mount.h.
const (
	statmountMntOpts = 0x80 // STATMOUNT_MNT_OPTS
	mntIDReqSize     = 24   // MNT_ID_REQ_SIZE_VER0
	statmountOpts    = 4    // struct statmount: mnt_opts
	statmountStrings = 512  // str
	statmountSize    = 16 << 10
)

// statmount reads the options of the mount at a place.
func statmount(at string) (int, step.Observation) {
	var stx unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, at, 0, unix.STATX_MNT_ID_UNIQUE, &stx); err != nil {
		return done(err)
	}
	req := binary.NativeEndian.AppendUint32(nil, mntIDReqSize)
	req = binary.NativeEndian.AppendUint32(req, 0)
	req = binary.NativeEndian.AppendUint64(req, stx.Mnt_id)
	req = binary.NativeEndian.AppendUint64(req, statmountMntOpts)
	out := make([]byte, statmountSize)
	_, _, errno := unix.Syscall6(unix.SYS_STATMOUNT, uintptr(unsafe.Pointer(&req[0])),
		uintptr(unsafe.Pointer(&out[0])), statmountSize, 0, 0, 0)
	runtime.KeepAlive(req)
	if errno != 0 {
		return done(errno)
	}
	text, _, _ := bytes.Cut(out[statmountStrings+binary.NativeEndian.Uint32(out[statmountOpts:]):], []byte{0})
	return noFD, step.Observation{Text: string(text)}
}

// label is the value of an extended attribute.
const label = "a label"

func (a *actor) xattr(s *step.Step) (int, step.Observation) {
	do, _ := s.Num(step.KeyXattrDo)
	n, _ := s.Num(step.KeyXattr)
	if n >= uint64(len(step.XattrNames)) {
		return done(unix.EINVAL)
	}
	fd, name := a.fd(s, step.KeyHandle), step.XattrNames[n]
	switch step.XattrDo(do) {
	case step.XattrSet:
		return done(unix.Fsetxattr(fd, name, []byte(label), 0))
	case step.XattrFill:
		return done(fillXattrs(fd, name))
	}
	value := make([]byte, 2*len(label))
	got, err := unix.Fgetxattr(fd, name, value)
	if err == nil && string(value[:got]) != label {
		err = unix.EILSEQ // not what was set
	}
	return done(err)
}

// fillXattrs sets attributes beside one until one is refused.
func fillXattrs(fd int, name string) error {
	for i := range step.XattrFillMax {
		if err := unix.Fsetxattr(fd, fmt.Sprintf("%s%d", name, i), make([]byte, step.XattrFillSize), 0); err != nil {
			return err
		}
	}
	return nil
}

const fileMaxFile = "/proc/sys/fs/file-max"

// boundFiles sets fs.file-max after all earlier steps.
func (g *agent) boundFiles(_ *player, s *step.Step) (step.Observation, error) {
	if err := g.settle(nil); err != nil {
		return step.Observation{}, err
	}
	if g.fileMax == nil {
		text, err := os.ReadFile(fileMaxFile)
		if err != nil {
			return step.Observation{}, err
		}
		g.fileMax = bytes.TrimSpace(text)
	}
	if n, _ := s.Num(step.KeyValue); n != 0 {
		return step.Observation{}, os.WriteFile(fileMaxFile, []byte(strconv.FormatUint(n, 10)), 0)
	}
	return step.Observation{}, os.WriteFile(fileMaxFile, g.fileMax, 0)
}

// freeFiles takes the bound of the last world away.
func (g *agent) freeFiles() error {
	if g.fileMax == nil {
		return nil
	}
	return os.WriteFile(fileMaxFile, g.fileMax, 0)
}
