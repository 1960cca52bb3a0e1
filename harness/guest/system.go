package guest

import (
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

var prepareOnce sync.Once

// prepareForPrograms makes a normal small system, which programs need and cases do not.
func prepareForPrograms(root string) {
	prepareOnce.Do(func() {
		ignoreTerminal()
		for _, m := range [][2]string{
			{"debugfs", "/sys/kernel/debug"}, {"tracefs", "/sys/kernel/tracing"}, {"devpts", "/dev/pts"},
			{"tmpfs", "/dev/shm"}, {"tmpfs", "/run"}, {"mqueue", "/dev/mqueue"},
		} {
			os.MkdirAll(m[1], 0o755)
			unix.Mount(m[0], m[1], m[0], 0, "") // a small kernel lacks some of them
		}
		for link, to := range map[string]string{"/dev/ptmx": "pts/ptmx", "/dev/fd": "/proc/self/fd",
			"/dev/stdin":  "/proc/self/fd/0",
			"/dev/stdout": "/proc/self/fd/1", "/dev/stderr": "/proc/self/fd/2"} {
			os.Remove(link)
			os.Symlink(to, link)
		}
		makeStaticNodes()
		os.Chmod("/dev/pts/ptmx", 0o666)
		os.Chmod("/dev/shm", 0o1777)
		raiseLoopback()
		unix.Sethostname([]byte(hostName))
		if root == "" {
			writeSystemFiles("/")
			coverRoot()
		}
	})
	if root == "" {
		return
	}
	for _, dir := range []string{"/dev", "/proc", "/sys", "/tmp", "/run"} {
		os.MkdirAll(root+dir, 0o755)
		unix.Mount(dir, root+dir, "", unix.MS_BIND|unix.MS_REC, "")
	}
}

// staticNodes are the devices that a system has before their driver is loaded, because opening one loads it: those that
// include/linux/miscdevice.h and Documentation/admin-guide/devices.txt number and kmod's static nodes name.
var staticNodes = []struct {
	name         string
	mode         uint32
	major, minor uint32
}{
	{"btrfs-control", 0o600, 10, 234}, {"cuse", 0o600, 10, 203}, {"fuse", 0o666, 10, 229},
	{"loop-control", 0o660, 10, 237}, {"mapper/control", 0o600, 10, 236}, {"net/tun", 0o666, 10, 200},
	{"ppp", 0o600, 108, 0}, {"uhid", 0o600, 10, 239}, {"uinput", 0o600, 10, 223},
	{"vfio/vfio", 0o666, 10, 196}, {"vhost-net", 0o660, 10, 238}, {"vhost-vsock", 0o660, 10, 241},
}

// makeStaticNodes makes those that the kernel has not made, and gives all the usual modes.
func makeStaticNodes() {
	for _, n := range staticNodes {
		path := "/dev/" + n.name
		os.MkdirAll(filepath.Dir(path), 0o755)
		unix.Mknod(path, unix.S_IFCHR|n.mode, int(unix.Mkdev(n.major, n.minor)))
		os.Chmod(path, os.FileMode(n.mode)) // also one that the kernel made, as udev does
	}
}

const hostName = "tokentest"

// systemFiles are what the C library and Go read about users, groups and names.
var systemFiles = map[string]string{
	"etc/passwd":        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
	"etc/group":         "root:x:0:\nnogroup:x:65534:\n",
	"etc/hosts":         "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n127.0.1.1 " + hostName + "\n",
	"etc/hostname":      hostName + "\n",
	"etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}

// writeSystemFiles writes the files that did not come along.
func writeSystemFiles(root string) {
	for name, text := range systemFiles {
		path := filepath.Join(root, name)
		os.MkdirAll(filepath.Dir(path), 0o755)
		if f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644); err == nil {
			f.WriteString(text)
			f.Close()
		}
	}
	for dir, mode := range map[string]uint32{"root": 0o700, "var/tmp": 0o1777} {
		path := filepath.Join(root, dir)
		os.MkdirAll(path, 0o755)
		unix.Chmod(path, mode)
	}
}

// coverRoot mounts the root with all that is below it over the initramfs' root, as switch_root does: the initramfs' own
// mount has no parent, so that pivot_root(2) refuses it (path_pivot_root). The files are the same.
func coverRoot() {
	const dir = "/.root"
	if os.Mkdir(dir, 0o755) != nil {
		return // a machine that was restored has it
	}
	if unix.Mount("/", dir, "", unix.MS_BIND|unix.MS_REC, "") != nil || unix.Chdir(dir) != nil {
		return
	}
	if unix.Mount(".", "/", "", unix.MS_MOVE, "") == nil {
		unix.Chroot(".")
		unix.Chdir("/")
	}
	os.Remove(dir)
}
