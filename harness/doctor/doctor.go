// Package doctor examines the host: what it has of the programs, directories and devices that
// tokentest uses, what is missing, and which command fixes that.
//
// It changes nothing but a probe file and the directories of apt in the cache directory, and it boots nothing.
//
// Start with Examine.
package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"go/version"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"

	"tokentest/harness/arch"
	"tokentest/harness/builtin"
	"tokentest/harness/child"
	"tokentest/harness/kernel"
	"tokentest/harness/lab"
	"tokentest/harness/vm"
	"tokentest/images"
)

// Finding is one thing that the host has or lacks.
type Finding struct {
	What, State string
	Needed      bool   // without it nothing runs
	Fix         string // how to fix it; "" if nothing is missing
	Untried     bool   // whether it works is not known
	// packages are Debian's that hold what is missing, if that is several things.
	packages []string
}

// Examine looks at everything. cacheDir is the cache directory, or cacheErr says why it cannot
// be made; agent is the checkout that the user named for the agent, or "".
func Examine(ctx context.Context, cacheDir, agent string, cacheErr error) []Finding {
	out := []Finding{
		{What: "version", State: strings.TrimPrefix(builtin.Of().String(), "tokentest ")},
		tool(ctx, own.QEMU.Program, "--version", true,
			qemuFix(own, "apt-get install ")+", or scripts/setup.sh of a checkout"),
		foreign(ctx),
	}
	out = append(out, agentOf(ctx, images.Options{Source: agent}, cacheDir)...)
	out = append(out,
		tool(ctx, "apt-get", "--version", false, "install apt; only deb: and src: references need it"),
		tool(ctx, "dpkg-deb", "--version", false, "install dpkg; only deb: and src: references need it"),
	)
	if out[len(out)-1].Fix == "" && out[len(out)-2].Fix == "" {
		out = append(out, packages(ctx, cacheDir, cacheErr))
	}
	return append(out, kvm(cacheDir), cache(cacheDir, cacheErr), compilers(ctx))
}

// qemuFix installs QEMU for an architecture: command is that of Debian.
func qemuFix(of *arch.Arch, command string) string {
	id, version := distribution()
	if how, known := installers[id]; known && id != "debian" {
		command = how.command + " "
	} else {
		id = "debian"
	}
	return command + of.QEMU.Package(id, version)
}

// foreign says kernels of which other architectures can be run. Nobody needs all of them, so that Install leaves them
// out.
func foreign(ctx context.Context) Finding {
	f := Finding{What: "other architectures"}
	var there, lost, fixes []string
	for _, of := range arch.All {
		if of == own {
			continue
		}
		if tool(ctx, of.QEMU.Program, "--version", false, "x").Fix == "" {
			there = append(there, of.Name)
			continue
		}
		lost = append(lost, of.QEMU.Program)
		fixes = append(fixes, fmt.Sprintf("for %s %s", of, qemuFix(of, "apt-get install ")))
	}
	f.State = "kernels of " + strings.Join(there, ", ") + " can be run"
	if len(there) == 0 {
		f.State = "no kernels of another can be run"
	}
	if len(lost) > 0 {
		f.State += "; no " + strings.Join(lost, ", ")
		f.Fix = strings.Join(fixes, "; ") + "; make vmtest KERNEL=deb:6.12/ARCH does so"
	}
	return f
}

// packages says where deb: references come from.
func packages(ctx context.Context, cacheDir string, cacheErr error) Finding {
	f := Finding{What: "deb references"}
	if cacheErr != nil {
		f.State, f.Untried = "there is no cache for the package lists", true
		return f
	}
	source, err := kernel.PackageSource(ctx, kernel.Options{CacheDir: cacheDir})
	if err == nil {
		f.State = "from " + source
		return f
	}
	f.State, f.Fix = err.Error(), "set it right, or use another reference"
	var lacks *kernel.LackError
	if errors.As(err, &lacks) {
		f.State, f.Fix = "no "+lacks.What, lacks.Fix
	}
	return f
}

// agentOf says where the agent comes from. Only the one of a checkout needs Go.
func agentOf(ctx context.Context, o images.Options, cacheDir string) []Finding {
	f := Finding{What: "agent", Needed: true}
	err := (&lab.Lab{CacheDir: cacheDir, Agent: o.Source}).CheckSources()
	root, want, err2 := o.Needs()
	switch err := cmp.Or(err, err2); {
	case err != nil:
		f.State, f.Fix = err.Error(), "call tokentest from a checkout of its sources, after make build there"
		return []Finding{f}
	case root == "":
		f.State = "built in"
		return []Finding{f}
	}
	f.State = "compiled from the checkout " + root
	return []Finding{f, goTool(ctx, want)}
}

// goTool compiles the agent. From 1.21 on it fetches a newer one by itself.
func goTool(ctx context.Context, want string) Finding {
	want = cmp.Or(want, strings.TrimPrefix(runtime.Version(), "go"))
	return newEnough(tool(ctx, "go", "version", true,
		"install Go "+want+" or newer; from Go's own site where the distribution's is older than 1.21"), want)
}

// newEnough looks at the version of a Go that was found.
func newEnough(f Finding, want string) Finding {
	has := goVersion.FindStringSubmatch(f.State)
	if has == nil || f.Fix != "" {
		return f
	}
	switch major, minor := number(has[1]), number(has[2]); {
	case major == 1 && minor < 21:
		f.State, f.Fix = f.State+", which is too old", "install Go "+want+" or newer from Go's own site"
	case version.Compare(has[0], "go"+want) < 0:
		f.State += "; it fetches " + want + " once, which needs a network"
	}
	return f
}

var goVersion = regexp.MustCompile(`go(\d+)\.(\d+)(\.\d+)?`)

func number(digits string) int {
	n, _ := strconv.Atoi(digits) // they are digits
	return n
}

// compilers build kernels, for src: and git: references.
func compilers(ctx context.Context) Finding {
	f := Finding{What: "kernel build", State: "everything to build a kernel is installed"}
	if lost, pkgs := kernel.Missing(ctx); len(lost) > 0 {
		f.State = "no " + strings.Join(lost, ", ") + "; only git: and src: references need it"
		f.Fix, f.packages = "apt-get install -y "+strings.Join(pkgs, " ")+", or scripts/setup-build.sh of a checkout", pkgs
	}
	return f
}

func tool(ctx context.Context, name, arg string, needed bool, fix string) Finding {
	f := Finding{What: name, Needed: needed}
	out, err := child.Command(ctx, name, arg).Output()
	if err != nil {
		f.State, f.Fix = "not found or not working: "+err.Error(), fix
		return f
	}
	f.State, _, _ = strings.Cut(strings.TrimSpace(string(out)), "\n")
	return f
}

func kvm(cacheDir string) Finding {
	f := Finding{What: "kvm"}
	file, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	switch {
	case err != nil:
		f.State = err.Error() + "; guests are emulated, which takes about 8 times as long"
		f.Fix = "join the group that owns /dev/kvm, or load the kvm module"
		return f
	default:
		file.Close()
	}
	return accelerator(vm.Lookup(vm.ProbeOptions{Format: "bzImage", CacheDir: cacheDir}))
}

// accelerator words the answer of an earlier run, if there is one.
func accelerator(accel vm.Accel, why string, known bool) Finding {
	f := Finding{What: "kvm"}
	switch {
	case !known:
		f.State, f.Untried = "/dev/kvm opens; the first run tries whether a guest runs on it", true
	case accel == vm.KVM:
		f.State = why
	default:
		f.State = why + "; guests are emulated, which takes about 8 times as long"
		f.Fix = "allow this machine hardware virtualization, on its host if it is a virtual machine; emulation works without"
	}
	return f
}

func cache(dir string, err error) Finding {
	f := Finding{What: "cache", Needed: true}
	if err == nil {
		var probe *os.File
		if probe, err = os.CreateTemp(dir, "doctor-*"); err == nil {
			probe.Close()
			err = os.Remove(probe.Name())
		}
	}
	f.State = dir
	if err != nil {
		f.State, f.Fix = err.Error(), "name a directory that can be written with --cache"
	}
	return f
}
