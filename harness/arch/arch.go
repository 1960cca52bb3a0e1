// Package arch is the table of the architectures whose kernels can be tested: everything in which one
// differs from another, for QEMU, the guest, Debian's packages and the kernel's build.
//
// Kernels of all of them can be built and run. What reads their machine code, packages cover and mutate, knows amd64
// alone.
//
// Start with All; Find looks up a name.
package arch

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Arch is an architecture.
type Arch struct {
	Name    string   // Debian's name, which is also that of a reference
	Aliases []string // the names of uname(2), Go and Linux that differ from Name
	GOARCH  string   // that the agent is compiled for
	GoLevel string   // the Go toolchain's setting of the oldest processor that the agent runs on; "" is none
	Machine string   // what uname -m says
	Linux   string   // ARCH= of the kernel's make
	Dir     string   // below arch/ in the kernel's sources
	Config  string   // the name in the first line of a .config
	ELF     uint16   // e_machine of its programs
	Flags   uint32   // e_flags of them
	// BigEndian says that the highest byte of a number comes first.
	BigEndian bool
	// PowerOff is the code, in hex, of reboot(2) with LINUX_REBOOT_CMD_POWER_OFF, and a loop behind it.
	PowerOff string

	QEMU    QEMU
	Flavour string   // Debian's smallest flavour that has everything that a virtual machine needs
	Suffix  []string // of the names of Debian's flavours
	Image   Image
	// Channel are the options that a virtio-serial port needs, and the module of each.
	Channel []Module

	// Pace is how long an emulated machine takes.
	Pace Pace
	// Compat are its programs of 32 bits; the zero value where the Go toolchain makes none.
	Compat Compat

	// Exchange128 is what tells that a CPU exchanges 16 bytes at once, without which kmalloc_nolock has no memory for an
	// arena: a word of "isa" in /proc/cpuinfo. "" is every CPU, and Never is none.
	Exchange128 string
	// PAN is what keeps the kernel from the memory of processes; the zero value where it always refuses that.
	PAN PAN
	// JITLimit is the memory for compiled programs (bpf_jit_alloc_exec_limit) where it is small; 0 is not known.
	JITLimit int
	// NoDefaultJIT says that net.core.bpf_jit_enable is 0 at boot (no ARCH_WANT_DEFAULT_BPF_JIT).
	NoDefaultJIT bool
	// BypassSpecV4 says that bpf_jit_bypass_spec_v4 is always true, on kernels that have the function.
	BypassSpecV4 bool
}

// PAN is what a CPU or a kernel has that lets no address of a process pass for one of the kernel's, on an architecture
// without copy_from_kernel_nofault_allowed whose kernel has the memory of the running process in its address space.
type PAN struct {
	Word             string // of "Features" in /proc/cpuinfo: the CPUs that have it can do this, too
	Option, Software string // of the kernel's configuration: that uses it, and that does without the CPU
}

// Pace is how long an emulated machine takes to boot and to decide cases, in percent of one of amd64 on the same host.
// Plans are cut by it. The numbers are from the default suite on one machine that boots; of riscv64 and ppc64el, once.
type Pace struct{ Boot, Decide int64 }

// Compat are the programs of 32 bits that the kernels run.
type Compat struct {
	GOARCH  string // that the agent's actors are compiled for
	GoLevel string // as that of the architecture
	ELF     uint16 // e_machine
	Option  string // that compiles it into the kernel
}

// QEMU is how QEMU is called.
type QEMU struct {
	Program string
	// Packages have the program, by distribution: the ID of os-release, and with its VERSION_ID where a release differs.
	Packages map[string]string
	Machine  string // under TCG
	CPU      string // under TCG
	// Faster is a model under TCG that costs less than CPU, and FasterSince the first release of QEMU that has it.
	Faster, FasterSince string
	KVM                 string // the machine under KVM; "" is the same
	// BigPages is the CPU model under TCG for a kernel whose pages are larger than 4 KiB; "" is the same.
	BigPages string
	// Console is the device of the kernel's log, for the character device console.
	Console []string
	TTY     string // the kernel's name of it
	Early   string // the kernel's argument that makes it print before it has set up its console
	// Port is the device of virtio-serial.
	Port string
	// Serial is the device of the second serial port, for the character device serial; nil is none.
	Serial    []string
	SerialTTY string // the kernel's name of it
	// Saves is the first release of QEMU whose saved machines keep their timers; "" is each that the tool runs with.
	Saves string
	// Args are arguments of the kernel, and Timed those under TCG that stop it from measuring its clocks.
	Args, Timed []string
	// Quick are arguments of the kernel under TCG that save time where cases run, and that no case sees.
	Quick []string
	// TSC says that the guest's clock under TCG is the host's, whose frequency tsc_early_khz tells.
	TSC bool
}

// Image is how kernels are built.
type Image struct {
	Cross  string // begins the names of the compiler's programs on a host of another architecture
	Target string // of make
	Path   string // that it writes
	Kind   Kind
	// Mark is what an image that is no ELF file has at the place At, by which it is recognised; "" for none.
	Mark string
	At   int
	// Direct says that QEMU can enter the ELF file in the image (PVH).
	Direct bool
}

// Never is what no CPU of an architecture has.
const Never = "never"

// Exchanges128 reports whether a CPU whose /proc/cpuinfo has such a line "isa" exchanges 16 bytes at once.
func (a *Arch) Exchanges128(isa string) bool {
	words := strings.FieldsFunc(isa, func(r rune) bool { return r == '_' || r == ' ' })
	return a.Exchange128 == "" || slices.Contains(words, a.Exchange128)
}

// HasPAN reports whether a CPU with such features, which the kernel uses, keeps it from the memory of processes.
func (a *Arch) HasPAN(features string) bool {
	return a.PAN.Word == "" || slices.Contains(strings.Fields(features), a.PAN.Word)
}

// Kind is a format of images.
type Kind string

// The formats that QEMU takes with -kernel.
const (
	BzImage Kind = "bzImage"
	Vmlinux Kind = "vmlinux" // an ELF file
	Raw     Kind = "Image"   // arm64's and riscv's, not compressed
)

// Module is an option of the kernel's configuration, and the module that has its code.
type Module struct{ Option, Name string }

// elfV2 is ELF ABI version 2 of ppc64el: the entry is an address, not a descriptor of a function.
const elfV2 = 2

// The numbers of the ELF machines.
const (
	em386     = 3
	emPPC64   = 21
	emS390    = 22
	emARM     = 40
	emX8664   = 62
	emAArch64 = 183
	emRISCV   = 243
)

// misc is Debian's package of what has no package of its own.
const misc = "qemu-system-misc"

var (
	serial = []string{"-serial", "chardev:console"}
	pci    = []Module{{"VIRTIO_PCI", "virtio_pci"}, {"VIRTIO_CONSOLE", "virtio_console"}}
)

// amd64 is the x86-64 architecture. Its machine is q35, without the devices that nobody uses and the kernel probes.
// q35 boots kernels from 5.10 to 7.3, as a bzImage and through PVH; microvm does not always power off. qemu64 is as
// fast as any CPU model under TCG, and TCG emulates it without a warning. It lacks rdrand, and without that the first
// process that asks for random numbers waits while try_to_generate_entropy (random.c) measures loops, which is an
// eighth of a boot.
//
// The arguments of Timed: the local APIC timer cannot be told its frequency, and calibrate_APIC_clock (apic.c) can
// count 0 ms for 100; without it the HPET has the tick, and the HPET reports its own frequency. no_timer_check skips
// check_timer (io_apic.c), tsc=reliable the clocksource watchdog. Each timer that the kernel programs leaves the
// translated code, which takes a third of the time after hello, so only the periodic tick stays.
//
// noreplace-smp leaves the lock prefixes in, as they are on a machine with several processors. On one with a single
// processor alternatives_smp_unlock (alternative.c) takes some ten thousand away, each with two switches to another
// address space, which is a fifth of a boot under TCG. The prefixes decide nothing, and cost nothing there.
var amd64 = Arch{
	Name: "amd64", Aliases: []string{"x86_64", "x86-64"}, GOARCH: "amd64", GoLevel: "GOAMD64=v1", Machine: "x86_64",
	Linux: "x86_64", Dir: "x86", Config: "x86", ELF: emX8664,
	PowerOff: "b8a9000000" + "bfaddee1fe" + "be69191228" + "badcfe2143" + "4531d2" + "0f05" + "ebfe",
	QEMU: QEMU{
		Program: "qemu-system-x86_64",
		Packages: map[string]string{"debian": "qemu-system-x86", "fedora": "qemu-system-x86-core", "arch": "qemu-system-x86",
			"suse": "qemu-x86", "alpine": "qemu-system-x86_64"},
		Machine: "q35,i8042=off,sata=off,smbus=off,usb=off,vmport=off,smm=off", CPU: "qemu64,+rdrand",
		Console: serial, TTY: "ttyS0", Early: "earlyprintk=serial,ttyS0,115200",
		Port: "virtio-serial-pci", Serial: []string{"-serial", "chardev:serial"}, SerialTTY: "ttyS1",
		Args:  []string{"noreplace-smp"},
		Timed: []string{"highres=off", "nohz=off", "no_timer_check", "tsc=reliable", "nolapic_timer"}, TSC: true,
	},
	Compat:  Compat{GOARCH: "386", GoLevel: "GO386=sse2", ELF: em386, Option: "IA32_EMULATION"},
	Pace:    Pace{100, 100},
	Flavour: "cloud-amd64", Suffix: []string{"amd64"},
	Image: Image{Cross: "x86_64-linux-gnu-", Target: "bzImage", Path: "arch/x86/boot/bzImage", Kind: BzImage,
		Mark: "HdrS", At: 0x202, Direct: true},
	Channel: pci,
}

// arm64 uses a CPU model without pointer authentication, whose emulation takes three times the time. That model has no
// pages of 16 KiB, without which such a kernel stops before its first line.
//
// QEMU forgets its translations of addresses whenever a table changes (TTBR0, TTBR1). A kernel does that at each entry
// if it was moved by KASLR, which turns on KPTI (kaslr_requires_kpti), and at each access to a process's memory if the
// CPU has no PAN. neoverse-n1 has it, and no pointer authentication, which TCG computes at great cost.
var arm64 = Arch{
	Name: "arm64", Aliases: []string{"aarch64"}, GOARCH: "arm64", GoLevel: "GOARM64=v8.0", Machine: "aarch64",
	Linux: "arm64", Dir: "arm64", Config: "arm64", ELF: emAArch64,
	PowerOff: "c8118052" + "a0d59b52" + "20dcbf72" + "212d8352" + "4102a572" + "82db9f52" + "2264a872" + "030080d2" +
		"010000d4" + "00000014",
	QEMU: QEMU{
		Program: "qemu-system-aarch64",
		Packages: map[string]string{"debian": "qemu-system-arm", "fedora": "qemu-system-aarch64-core",
			"arch": "qemu-system-aarch64", "suse": "qemu-arm", "alpine": "qemu-system-aarch64"},
		Machine: "virt,gic-version=3", CPU: "cortex-a57", KVM: "virt,gic-version=host", BigPages: "max,pauth-impdef=on",
		Faster: "neoverse-n1", FasterSince: "7.1", Quick: []string{"nokaslr", "kpti=off"},
		Console: serial, TTY: "ttyAMA0", Early: "earlycon", Port: "virtio-serial-pci",
		Serial: []string{"-device", "pci-serial,chardev=serial"}, SerialTTY: "ttyS0",
	},
	Compat:  Compat{GOARCH: "arm", GoLevel: "GOARM=7", ELF: emARM, Option: "COMPAT"},
	Pace:    Pace{95, 210},
	Flavour: "cloud-arm64", Suffix: []string{"arm64", "arm64-16k"},
	Image: Image{Cross: "aarch64-linux-gnu-", Target: "Image", Path: "arch/arm64/boot/Image", Kind: Raw,
		Mark: "ARM\x64", At: 56},
	Channel:      pci,
	BypassSpecV4: true,
	PAN:          PAN{Word: "asimdrdm", Option: "ARM64_PAN", Software: "ARM64_SW_TTBR0_PAN"}, // both are of ARMv8.1
}

// s390x is big-endian and has no second serial port: a kernel without virtio-serial has no control channel.
var s390x = Arch{
	Name: "s390x", GOARCH: "s390x", Aliases: []string{"s390"}, Machine: "s390x",
	Linux: "s390", Dir: "s390", Config: "s390", ELF: emS390,
	BigEndian: true,
	PowerOff:  "c02ffee1dead" + "c03f28121969" + "c04f4321fedc" + "a7590000" + "0a58" + "a7f40000",
	QEMU: QEMU{
		Program: "qemu-system-s390x",
		Packages: map[string]string{"debian": "qemu-system-s390x", "debian 12": misc, "fedora": "qemu-system-s390x-core",
			"arch": "qemu-system-s390x", "suse": "qemu-s390x", "alpine": "qemu-system-s390x"},
		Machine: "s390-ccw-virtio", CPU: "qemu",
		Console: []string{"-device", "sclpconsole,chardev=console"}, TTY: "ttysclp0", Early: "earlyprintk=sclp",
		Port: "virtio-serial-ccw",
	},
	Pace:    Pace{95, 135},
	Flavour: "s390x", Suffix: []string{"s390x"},
	Image: Image{Cross: "s390x-linux-gnu-", Target: "bzImage", Path: "arch/s390/boot/bzImage", Kind: BzImage,
		Mark: "S390EP", At: 0x10008},
	Channel: []Module{{"S390_GUEST", "virtio_ccw"}, {"VIRTIO_CONSOLE", "virtio_console"}},
}

// riscv64 has its JIT compiler off at boot, and BPF_JIT_REGION_SIZE for its programs. Until 10.2, QEMU did not save the
// timer of stimecmp (target/riscv/machine.c): a restored kernel waits for ever at its next synchronize_rcu. Tables of
// three levels instead of five are walked sooner (set_satp_mode).
var riscv64 = Arch{
	Name: "riscv64", GOARCH: "riscv64", GoLevel: "GORISCV64=rva20u64", Aliases: []string{"riscv"}, Machine: "riscv64",
	Linux: "riscv", Dir: "riscv", Config: "riscv", ELF: emRISCV,
	PowerOff: "9308e008" + "37e5e1fe" + "1305d5ea" + "b7251228" + "9b859596" + "37062243" + "1b06c6ed" + "93060000" +
		"73000000" + "6f000000",
	QEMU: QEMU{
		Program: "qemu-system-riscv64",
		Packages: map[string]string{"debian": "qemu-system-riscv", "debian 12": misc, "fedora": "qemu-system-riscv-core",
			"arch": "qemu-system-riscv", "suse": "qemu-extra", "alpine": "qemu-system-riscv64"},
		Machine: "virt", CPU: "rv64", Console: serial, TTY: "ttyS0", Early: "earlycon=sbi", Port: "virtio-serial-pci",
		Args: []string{"sysctl.net.core.bpf_jit_enable=1"}, Saves: "10.2",
		Quick: []string{"no4lvl", "no5lvl"},
	},
	Pace:    Pace{110, 200},
	Flavour: "riscv64", Suffix: []string{"riscv64"},
	Image: Image{Cross: "riscv64-linux-gnu-", Target: "Image", Path: "arch/riscv/boot/Image", Kind: Raw,
		Mark: "RSC\x05", At: 56},
	Channel:     pci,
	Exchange128: "zacas", JITLimit: 128 << 20, NoDefaultJIT: true,
}

// ppc64el boots with QEMU's own firmware (x-vof), because the other one takes seconds. The capabilities are those that
// TCG would warn of. With them the firmware asks for barriers, and bpf_jit_bypass_spec_v1 and v4 are false.
var ppc64el = Arch{
	Name: "ppc64el", Aliases: []string{"ppc64le", "powerpc"}, GOARCH: "ppc64le", GoLevel: "GOPPC64=power8",
	Machine: "ppc64le", Linux: "powerpc", Dir: "powerpc", Config: "powerpc", ELF: emPPC64,
	Flags: elfV2,
	PowerOff: "58000038" + "e1fe603c" + "adde6360" + "1228803c" + "69198460" + "2143a03c" + "dcfea560" + "0000c038" +
		"02000044" + "00000048",
	QEMU: QEMU{
		Program: "qemu-system-ppc64",
		Packages: map[string]string{"debian": "qemu-system-ppc", "fedora": "qemu-system-ppc-core",
			"arch": "qemu-system-ppc", "suse": "qemu-ppc", "alpine": "qemu-system-ppc64"},
		Machine: "pseries,x-vof=on,cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken,cap-ccf-assist=off", CPU: "power9",
		KVM:     "pseries",
		Console: []string{"-device", "spapr-vty,chardev=console"}, TTY: "hvc0", Port: "virtio-serial-pci",
	},
	Pace:    Pace{220, 170},
	Flavour: "powerpc64le", Suffix: []string{"powerpc64le", "powerpc64le-64k"},
	Image:       Image{Cross: "powerpc64le-linux-gnu-", Target: "vmlinux", Path: "vmlinux", Kind: Vmlinux},
	Channel:     pci,
	Exchange128: Never,
}

// All are the architectures. The first one is that of kernels and records that name none.
var All = []*Arch{&amd64, &arm64, &s390x, &riscv64, &ppc64el}

// Default is the architecture of records and cached kernels that were made before others could be tested.
var Default = All[0]

// Find returns the architecture with a name, or nil.
func Find(name string) *Arch {
	for _, a := range All {
		if name == a.Name || name == a.GOARCH {
			return a
		}
		for _, alias := range a.Aliases {
			if name == alias {
				return a
			}
		}
	}
	return nil
}

// Name returns Debian's name for one of the names of an architecture, "" if there is no such architecture.
func Name(name string) string {
	if a := Find(name); a != nil {
		return a.Name
	}
	return ""
}

// Or returns a, or the default for nil.
func Or(a *Arch) *Arch {
	if a == nil {
		return Default
	}
	return a
}

// Names are the names of all, for messages.
func Names() []string {
	var out []string
	for _, a := range All {
		out = append(out, a.Name)
	}
	return out
}

// OfELF returns the architecture of an ELF file with e_machine, or nil.
func OfELF(machine uint16) *Arch {
	for _, a := range All {
		if machine == a.ELF {
			return a
		}
	}
	return nil
}

// Runs reports whether kernels of the architecture run programs with e_machine, also those of 32 bits.
func (a *Arch) Runs(machine uint16) bool {
	return machine == a.ELF || machine == a.Compat.ELF && a.Compat.ELF != 0
}

// OfConfig returns the architecture that the first line of a .config names, or nil.
func OfConfig(name string) *Arch {
	for _, a := range All {
		if name == a.Config {
			return a
		}
	}
	return nil
}

func (a *Arch) String() string { return a.Name }

// Package is the package of a distribution that has the program, "" if it is not known. version is its VERSION_ID.
func (q *QEMU) Package(distribution, version string) string {
	if name := q.Packages[distribution+" "+version]; name != "" {
		return name
	}
	return q.Packages[distribution]
}

// Lines is the table of QEMU's packages for scripts/setup.sh: the names of an architecture, the program, the
// distribution with or without its version, and the package.
func Lines() string {
	var out strings.Builder
	for _, a := range All {
		for _, id := range slices.Sorted(maps.Keys(a.QEMU.Packages)) {
			names := strings.Join(slices.Concat([]string{a.Name}, a.Aliases), ",")
			fmt.Fprintln(&out, names, a.QEMU.Program, strings.ReplaceAll(id, " ", ""), a.QEMU.Packages[id])
		}
	}
	return out.String()
}
