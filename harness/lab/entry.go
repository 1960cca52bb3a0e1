package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"tokentest/harness/kernel"
	"tokentest/harness/result"
	"tokentest/harness/vm"
)

// Entry says how QEMU enters a kernel that is a bzImage.
type Entry string

// The entries. A vmlinux is always entered directly.
const (
	AutoEntry    Entry = ""        // directly if that works, else as a bzImage
	DirectEntry  Entry = "direct"  // the ELF file in the image, through its PVH note
	BzImageEntry Entry = "bzimage" // the image, which unpacks itself
)

// auto is AutoEntry as users write it.
const auto = "auto"

// Set, String and Type make *Entry the value of a flag.
func (e *Entry) Set(text string) error {
	switch now := Entry(text); {
	case text == auto:
		*e = AutoEntry
	case now == DirectEntry, now == BzImageEntry:
		*e = now
	default:
		return errors.New("must be auto, direct or bzimage")
	}
	return nil
}

func (e *Entry) String() string { return cmp.Or(string(*e), auto) }

// Type is what pflag calls the type of the value.
func (*Entry) Type() string { return "string" }

// entry is the file that QEMU boots as the kernel of a trial.
type entry struct {
	how  Entry // DirectEntry or BzImageEntry
	file string
}

// enter chooses how QEMU enters the kernel. A kernel that it cannot enter directly is an error
// only if the user asked for that.
func (l *Lab) enter(ctx context.Context, k *kernel.Kernel) (entry, error) {
	packed := entry{BzImageEntry, k.Image}
	if l.Entry == BzImageEntry {
		if k.Format != kernel.BzImage {
			return entry{}, &kernel.UsageError{
				Ref: k.Ref, Reason: "no bzImage: QEMU enters it only directly; leave out --boot bzimage"}
		}
		return packed, nil
	}
	file, err := k.Direct(ctx, kernel.Options{CacheDir: l.CacheDir, Log: l.Log})
	switch {
	case err == nil:
		return entry{DirectEntry, file}, nil
	case l.Entry == DirectEntry && errors.Is(err, kernel.ErrNoPVH):
		return entry{}, &kernel.UsageError{
			Ref: k.Ref, Reason: fmt.Sprintf("it cannot be entered directly: %v; give --boot bzimage", err), Err: err}
	case l.Entry == DirectEntry:
		return entry{}, err
	case !errors.Is(err, kernel.ErrNoPVH):
		l.log("%s: booted as a bzImage: %v", k.Ref, err)
	}
	return packed, nil
}

// Way is one of the ways in which QEMU can enter a kernel.
type Way struct {
	Entry Entry
	Name  string // for people: a boot "of the bzImage"
}

// Ways returns how QEMU can enter a kernel, its image as it is first.
func (l *Lab) Ways(ctx context.Context, ref string) ([]Way, error) {
	k, err := l.Resolve(ctx, ref)
	if err != nil {
		return nil, err
	}
	e, err := l.enter(ctx, k)
	if err != nil {
		return nil, err
	}
	if k.Format == kernel.BzImage && e.how == DirectEntry {
		return []Way{{BzImageEntry, "of the " + k.Format}, {AutoEntry, "entered directly"}}, nil
	}
	return []Way{{AutoEntry, "of the " + k.Format}}, nil
}

// enterPacked makes the next machine of a kernel that did not boot enter the bzImage, unless the
// last one did so or the user chose the entry. It reports whether it did. The machine that did
// not boot is not part of the run: its directory is kept under another name.
func (t *trial) enterPacked(ctx context.Context, exit vm.Exit) bool {
	if exit.Fate != vm.Unbooted || t.entry.how != DirectEntry || t.lab.Entry != AutoEntry ||
		t.kernel.Format != kernel.BzImage || ctx.Err() != nil || t.replaysOnly {
		return false
	}
	to := t.disown(string(DirectEntry))
	t.notDirect = fmt.Sprintf("it does not boot if QEMU enters its ELF file directly (%s, console in %s), "+
		"so its bzImage is booted; --boot bzimage does that at once", exit.Reason, to)
	t.entry = entry{BzImageEntry, t.kernel.Image}
	t.snapshot, t.snapshotTried = nil, t.cold
	return true
}

// bootedPacked adds the remark about the direct entry once the bzImage has booted. A kernel that
// boots in neither way has another fault.
func (t *trial) bootedPacked(exit vm.Exit) {
	if t.notDirect != "" && exit.Boot > 0 {
		t.remark(t.notDirect)
		t.notDirect = ""
	}
}

// disown removes the last machine from the run, because nothing was decided on it. It renames
// the machine's directory and returns the new name.
func (t *trial) disown(name string) (dir string) {
	last := len(t.out.Boots) - 1
	from := filepath.Join(t.lab.Dir, t.out.Boots[last].Dir)
	dir = filepath.Join(t.dir, name)
	if err := os.Rename(from, dir); err != nil {
		t.lab.log("%s: keep the console of a machine that did not start: %v", t.out.Ref, err)
	}
	t.out.Boots = t.out.Boots[:last]
	return dir
}

// began says in one word how a machine started.
func (t *trial) began(m *vm.Machine) string {
	if m != nil && m.Restore != nil {
		return result.Restored
	}
	return string(t.entry.how)
}
